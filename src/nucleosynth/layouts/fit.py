"""Fitting of a layout model to the masks of a TileSet."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from nucleosynth import progress
from nucleosynth.arguments import as_int
from nucleosynth.data.inputs import Patients, as_tileset, training_patients
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.class_model import ClassStatistics, LayoutSampler
from nucleosynth.layouts.descriptors import Described, describe
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.layouts.spacing import pair_histogram, refine_weights, start_weights
from nucleosynth.layouts.touching import touching_share
from nucleosynth.seeds import rng

MIN_NUCLEI = 50
"""Fewest whole nuclei of a class with its own statistics."""

_KEPT = 512  # nuclei and densities that represent all
_HEAVIEST = 5.0
_TRIAL = 200  # layouts drawn in each round of the spacing
_ROUNDS = 8

Floats = npt.NDArray[np.float64]
log = logging.getLogger(__name__)


def fit_layouts(
    tiles: TileSet, patients: Patients, *, fold: int = 0, rounds: int = _ROUNDS, seed: int = 0
) -> LayoutModel:
    """Fit the class statistics of a layout model: size, shape, density and spacing of nuclei.

    Sizes and shapes are those of whole nuclei, weighted by the inverse probability that the border does not
    cut them; spacing is fitted by drawing layouts and comparing them with the real ones, ``rounds`` times.

    Parameters
    ----------
    tiles
        With masks and a known scale; a TileSet, or the path of one.
    patients
        Training patients: a `Split`, of which the training part is taken, or a list of patient ids.
    fold
        Which fold of a split, counted from 0.

    Raises
    ------
    InputError
        The scale is unknown, no tile of these patients has a mask, or there are too few whole nuclei.
    """
    tiles, seed = as_tileset(tiles), as_int(seed, "seed")
    rounds = as_int(rounds, "rounds", least=0, most=1000)
    patients, mpp = sorted(set(training_patients(tiles, patients, fold=fold))), tiles.scale
    rows = tiles.rows_of(patients)
    rows = rows[tiles.has_mask[rows]]
    if tiles.masks is None or not len(rows):
        raise InputError(
            f"{tiles.path}: no tile of these patients has a mask; add masks with `nucleosynth segment`"
        )
    masks, labels = np.asarray(tiles.masks[rows]), tiles.labels[rows]
    groups = [np.flatnonzero(labels == c) for c in range(len(tiles.classes))] or [np.arange(len(rows))]
    whole = None
    class_statistics = []
    with progress.task("layouts", len(groups)) as update:
        for c, group in enumerate(groups):
            name = tiles.classes[c] if tiles.classes else "all tiles"
            if not len(group):
                raise InputError(
                    f"{tiles.path}: class {name!r} has no tile of these patients; fit without it"
                )
            described = describe(masks[group], mpp=mpp)
            if np.count_nonzero(described.weight) < MIN_NUCLEI and tiles.classes:
                log.warning(
                    "layouts: %s has too few whole nuclei; the statistics of all classes are used", name
                )
                whole = whole or fit_class_statistics(masks, mpp=mpp, rounds=rounds, seed=seed)
                density = _kept(tile_density(described, len(group), masks.shape[1:], mpp))
                class_statistics.append(whole.model_copy(update={"tiles": len(group), "density": density}))
            else:
                class_statistics.append(fit_class_statistics(masks[group], mpp=mpp, rounds=rounds, seed=seed))
            update(c + 1, name)
    return LayoutModel(
        classes=tiles.classes,
        size=tiles.size,
        mpp=mpp,
        patients=patients,
        content_hash=tiles.content_hash,
        class_statistics=class_statistics,
    )


def fit_class_statistics(
    masks: npt.NDArray[np.uint16], *, mpp: float, rounds: int = _ROUNDS, seed: int = 0
) -> ClassStatistics:
    """Fit the statistics of one class to its masks (n, h, w).

    Raises
    ------
    InputError
        There are fewer than `MIN_NUCLEI` whole nuclei.
    """
    described = describe(masks, mpp=mpp)
    count = int(np.count_nonzero(described.weight))
    if count < MIN_NUCLEI:
        raise InputError(
            f"layouts: {count} whole nuclei in {len(masks)} tiles; expected at least {MIN_NUCLEI}: "
            "fit to more or larger tiles"
        )
    density = tile_density(described, len(masks), masks.shape[1:], mpp)
    in_tile, with_density = _size_correlations(described, density)
    statistics = ClassStatistics(
        tiles=len(masks),
        density=_kept(density),
        nuclei=_dictionary(described),
        asked=1.0,
        size_in_tile=in_tile,
        size_with_density=with_density,
        alignment=_alignment(described),
        spacing=tuple(start_weights()),
    )
    size = (masks.shape[1], masks.shape[2])
    contact = touching_share(masks)
    for turn in range(rounds):
        sampler = LayoutSampler(statistics, Dial())
        streams = [turn * _TRIAL + i for i in range(_TRIAL)]
        trial = np.stack([sampler.draw(rng(seed, "layout-trial", i), size=size, mpp=mpp) for i in streams])
        drawn = describe(trial, mpp=mpp)
        statistics = _nearer(statistics, described, drawn)
        touching = statistics.touching * np.sqrt((contact + 1e-3) / (touching_share(trial) + 1e-3))  # of two
        statistics = statistics.model_copy(update={"touching": round(min(1.0, float(touching)), 4)})
        wanted = 1e6 * np.mean([sampler.tile(rng(seed, "layout-trial", i))[0] for i in streams])
        room = float(wanted / max(tile_density(drawn, _TRIAL, size, mpp).mean(), 1e-9))
        statistics = statistics.model_copy(
            update={"asked": round(float(np.clip(statistics.asked * room, 1.0, 1.5)), 4)}
        )
    return statistics


def _nearer(statistics: ClassStatistics, real: Described, drawn: Described) -> ClassStatistics:
    """Correct spacing and contours by the difference between real and drawn nuclei."""
    weights = refine_weights(np.asarray(statistics.spacing), pair_histogram(real), pair_histogram(drawn))
    gain = np.clip(_amplitude(real) / _amplitude(drawn), 0.6, 1.4) ** 0.7
    table = np.asarray(statistics.nuclei) * np.concatenate([[1, 1], gain, gain])
    return statistics.model_copy(
        update={"spacing": tuple(round(float(w), 4) for w in weights), "nuclei": _rounded(table)}
    )


def _amplitude(described: Described) -> Floats:
    """Return the mean amplitude over whole nuclei, (harmonics,), which outliers influence less than power."""
    amplitude = np.abs(described.contours.contour)
    weight = whole_weight(described)[:, None]
    return np.asarray((amplitude * weight).sum(axis=0) / max(float(weight.sum()), 1e-9) + 1e-4)


def whole_weight(described: Described) -> Floats:
    """Return the weight of each nucleus, (m,), that corrects for cuts by the border; 0 if it is cut.

    The weight is limited: otherwise a single nucleus nearly as large as its tile would count as dozens.
    """
    return np.minimum(described.weight, _HEAVIEST)


def tile_density(described: Described, tiles: int, size: tuple[int, ...], mpp: float) -> Floats:
    """Return nuclei per mm² of each tile, (tiles,); nuclei cut by the border count half."""
    share = np.where(described.weight > 0, 1.0, 0.5)
    counts = np.bincount(described.tile, weights=share, minlength=tiles)
    return np.asarray(counts / (size[0] * size[1] * (mpp / 1000) ** 2))


def _kept(values: Floats) -> tuple[float, ...]:
    """Return at most `_KEPT` values that represent all, sorted."""
    ordered = np.sort(values)
    if len(ordered) > _KEPT:
        ordered = ordered[((np.arange(_KEPT) + 0.5) / _KEPT * len(ordered)).astype(np.int64)]
    return tuple(round(float(v), 2) for v in ordered)


def _dictionary(described: Described) -> tuple[tuple[float, ...], ...]:
    """Return at most `_KEPT` whole nuclei, chosen by weight, sorted by diameter."""
    shapes = described.contours
    order = np.argsort(shapes.radius, kind="stable")
    share = np.cumsum(whole_weight(described)[order])
    kept = min(_KEPT, int(np.count_nonzero(described.weight)))
    chosen = order[np.searchsorted(share, (np.arange(kept) + 0.5) / kept * share[-1])]
    picked = shapes.take(chosen)
    table = np.column_stack([2 * picked.radius, picked.aspect, picked.contour.real, picked.contour.imag])
    return _rounded(table)


def _rounded(table: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(v), 4) for v in row) for row in table)


def _size_correlations(described: Described, density: Floats) -> tuple[float, float]:
    """Return the correlation of sizes within a tile, and of a tile's mean size with its density."""
    whole = described.weight > 0
    tile = described.tile[whole]
    score = _normal_scores(described.contours.radius[whole].astype(np.float64))
    count = np.bincount(tile, minlength=len(density))
    total = np.bincount(tile, weights=score, minlength=len(density))
    square = np.bincount(tile, weights=score**2, minlength=len(density))
    pairs = float((count * (count - 1)).sum())
    in_tile = float((total**2 - square).sum()) / pairs / float(score.var()) if pairs else 0.0
    in_tile = float(np.clip(in_tile, 0.0, 0.95))
    some = count > 0
    crowd = _normal_scores(density)[some]
    mean = total[some] / count[some]
    slope = float(np.cov(mean, crowd)[0, 1]) / max(float(crowd.var()), 1e-9) if some.sum() > 2 else 0.0
    with_density = slope / np.sqrt(in_tile) if in_tile > 0.01 else 0.0
    return round(in_tile, 4), round(float(np.clip(with_density, -0.9, 0.9)), 4)


def _alignment(described: Described) -> float:
    """Return the mean cosine of twice the angle between long axes of elongated nuclei of one tile."""
    long = (described.contours.aspect > 1.3) & (described.weight > 0)
    tile = described.tile[long]
    turn = np.exp(2j * described.contours.angle[long])
    count = np.bincount(tile)
    total = np.bincount(tile, weights=turn.real) + 1j * np.bincount(tile, weights=turn.imag)
    pairs = (count * (count - 1)).sum()
    mean = float((np.abs(total) ** 2 - count).sum() / pairs) if pairs else 0.0
    return round(float(np.clip(mean, 0.001, 0.98)), 4)


def _normal_scores(values: Floats) -> Floats:
    """Return ranks as quantiles of the normal distribution; equal values share one."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))
