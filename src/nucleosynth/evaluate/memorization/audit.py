"""The search for copies: synthetic tiles that are nearer to training tiles than tiles of other patients are.

A tile counts as a copy if it is nearer to a training tile than nearly all real tiles are to tiles of other
patients, in structure (`copies`: turned, mirrored, shifted, restained) or in the features of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import as_int, as_names, shown
from nucleosynth.data.arrays import as_images
from nucleosynth.data.selection import TileSelection
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.features import Extractor, as_extractor
from nucleosynth.evaluate.memorization.feature_search import FeatureSearch
from nucleosynth.evaluate.memorization.structure_search import Matches, StructureSearch
from nucleosynth.seeds import some_rows

BETWEEN_PATIENTS = 0.995
"""Share of real tiles that are farther from all tiles of other patients than a copy is from its original."""
CALIBRATION = 500
"""Number of tiles from which that share is estimated: with fewer, a handful would set the threshold."""
LEAST_TILES, LEAST_PATIENTS = 200, 10
"""With fewer tiles that share cannot be estimated."""
IDENTICAL = 0.9
"""Similarity in structure of two versions of a tile that differ in noise, blur or stain only."""
SPACES = ("structure", "features")


@dataclass(frozen=True)
class Real:
    """Real tiles, (n, s, s, 3) uint8, and the patient of each, (n,)."""

    images: NDArray[np.uint8]
    patients: NDArray[np.str_]

    @classmethod
    def of(cls, tiles: Tiles, name: str) -> Real:
        """Take a TileSet, some of its tiles, or (images, patients).

        Raises
        ------
        InputError
            Something else, or patients that are not one each.
        """
        if isinstance(tiles, cls):
            return tiles
        if isinstance(tiles, TileSet | TileSelection):
            return cls(tiles.images, tiles.patients)
        if not isinstance(tiles, tuple) or len(tiles) != 2:
            raise InputError(f"{name} is {shown(tiles)}; expected a TileSet, or (images, patients)")
        images = as_images(tiles[0], name=name)
        patients = as_names(tiles[1], f"{name} patients", such_as="lab:p1")
        if len(patients) != len(images):
            raise InputError(f"{name}: {len(patients)} patients for {len(images)} tiles; give one each")
        return cls(images, np.array(patients, dtype=np.str_))

    def some(self, n: int, *, seed: int, stream: str) -> Real:
        """Return at most ``n`` of them, drawn at random."""
        rows = some_rows(seed, stream, len(self.images), n)
        return Real(self.images[rows], self.patients[rows])


Tiles = Real | TileSet | TileSelection | tuple[Any, Any]
"""Real tiles with the patient of each: of a TileSet, or (images, patients)."""


@dataclass(frozen=True)
class Pair:
    """The row of a synthetic tile and the row of the training tile nearest to it in structure."""

    synthetic: int
    train: int
    turn: int
    shift: tuple[int, int]
    structure: float
    features: float


@dataclass(frozen=True)
class Memorization:
    """The result of `memorization`: scores for JSON, and the nearest pairs, nearest first."""

    scores: dict[str, Any]
    pairs: list[Pair]


def memorization(
    train: Tiles,
    synthetic: Any,
    held_out: Tiles,
    *,
    control: Any = None,
    extractor: str | Extractor = "lite0",
    limit: int = 500,
    pairs: int = 12,
    seed: int = 0,
) -> Memorization:
    """Count synthetic tiles that are copies of training tiles, and as many as occur without memorisation.

    Parameters
    ----------
    train
        All training tiles of the generator, also those of its initial weights, and their patients: a TileSet,
        some of its tiles, or (images, patients).
    synthetic : (n, s, s, 3)
        Images, a TileSet or some of its tiles.
    held_out
        Real tiles of held-out patients: they show the similarity due to chance and common anatomy.
    control : (m, s, s, 3), optional
        Tiles that the same generator drew for the classes and masks of ``held_out``, compared with these.
        A tile is similar to the one whose mask it follows, without any memorisation; only a control shows how
        similar. Give it if ``synthetic`` was drawn for masks of training tiles. If ``held_out`` has fewer
        tiles than the training set, the effect of more tiles by chance is estimated from real tiles.
    extractor
        Network whose features are compared.
    limit
        Largest number of synthetic, control and held-out tiles; always all training tiles. The threshold is
        estimated from at least `CALIBRATION` of these, if there are that many.
    pairs
        Number of nearest pairs to return.

    Returns
    -------
    Memorization
        `scores` holds, for each of `SPACES`, the `threshold` between patients, and of `synthetic`, `control`
        and `held_out` tiles `copies`, `rate`, `interval` (95 %, Clopper and Pearson) and the `median`
        similarity; of `structure` also `ratio`, the median distance of synthetic tiles to the training tiles
        over that of held-out tiles, and `ratio_of_sides`, the same over their distance to held-out tiles,
        with as many references in both groups; the counts over both spaces as `copies`; `identical`, the
        number of synthetic tiles whose distance in structure is at most half that of the most similar other
        tile; `p_value` that so many copies occur as in `compared_with` (Fisher, one-sided, tiles treated as
        independent); `verdict`; `n`; `extractor`; `weights_hash`; `warnings`.

    Raises
    ------
    InputError
        Tiles of different shapes, an empty set, a patient both training and held out, or fewer than two
        training patients.
    """
    train, held_out = Real.of(train, "train"), Real.of(held_out, "held_out")
    synthetic = as_images(synthetic, name="synthetic")
    control = None if control is None else as_images(control, name="control")
    network, seed = as_extractor(extractor), as_int(seed, "seed")
    limit, pairs = as_int(limit, "limit", least=1), as_int(pairs, "pairs", least=0)
    _check(train, synthetic, held_out)
    rows = some_rows(seed, "memorization-synthetic", len(synthetic), limit)
    others = held_out.some(limit, seed=seed, stream="strangers")
    calibration = train.some(max(limit, CALIBRATION), seed=seed, stream="calibration")
    made = np.asarray(synthetic[rows])
    found: dict[str, dict[str, Matches]] = {}
    for space, search in (("structure", StructureSearch), ("features", partial(FeatureSearch, network))):
        near = search(train.images)
        found[space] = {
            "synthetic": near(made),
            "held_out": near(others.images),
            "calibration": near(calibration.images, apart=(calibration.patients, train.patients)),
        }
        if control is not None:
            some = some_rows(seed, "memorization-synthetic", len(control), limit)
            found[space]["control"] = _among_as_many(
                search(held_out.images)(control[some]),
                found[space]["held_out"],
                references=len(held_out.images),
                wanted=len(train.images),
            )
    scores = _scores(found, train, held_out, network)
    scores["structure"]["ratio_of_sides"] = _ratio_of_sides(
        made, train, held_out, found["structure"], seed=seed
    )
    return Memorization(scores, _pairs(found, rows, pairs))


def _ratio_of_sides(
    made: NDArray[np.uint8], train: Real, held_out: Real, found: Mapping[str, Matches], *, seed: int
) -> float:
    """Return the median distance in structure to training tiles, over that to as many held-out ones.

    Source: the comparison of Meehan, Chaudhuri, Dasgupta 2020, "A non-parametric test to detect data-copying
    in generative models", by medians.
    """
    others = held_out.some(len(train.images), seed=seed, stream="sides")
    to_held_out = _among_as_many(
        StructureSearch(others.images)(made),
        found["held_out"],
        references=len(others.images),
        wanted=len(train.images),
    )
    return _ratio(found["synthetic"], to_held_out)


def _ratio(near: Matches, far: Matches) -> float:
    """Return the median distance, 1 minus the similarity, of some tiles over that of others."""
    above, below = (float(np.median(1 - matches.similarity)) for matches in (near, far))
    return above / max(below, 1e-6)


def _among_as_many(found: Matches, others: Matches, *, references: int, wanted: int) -> Matches:
    """Correct matches among few references for the chance of a match among more references.

    Among few references fewer are similar by chance. The effect of more references is taken from held-out
    real tiles, one for each: their similarity to the nearest training tile, which is not due to memorisation.
    """
    if references >= wanted:
        return found
    n = len(found.similarity)
    return replace(found, similarity=np.maximum(found.similarity, np.resize(others.similarity, n)))


def _scores(
    found: Mapping[str, Mapping[str, Matches]], train: Real, held_out: Real, network: Extractor
) -> dict[str, Any]:
    """Count copies in each space and in both together, and derive the verdict."""
    structure = found["structure"]
    names = [name for name in ("synthetic", "control", "held_out") if name in structure]
    scores: dict[str, Any] = {
        "n": {"train": len(train.images), **{name: len(m.similarity) for name, m in structure.items()}}
    }
    either = {name: np.zeros(len(structure[name].similarity), bool) for name in names}
    for space, matches in found.items():
        threshold = float(np.quantile(matches["calibration"].similarity, BETWEEN_PATIENTS))
        scores[space] = {"threshold": threshold}
        for name in names:
            copied = matches[name].similarity > threshold
            either[name] |= copied
            scores[space][name] = {**_rate(copied), "median": float(np.median(matches[name].similarity))}
    scores["structure"]["ratio"] = _ratio(structure["synthetic"], structure["held_out"])
    scores["copies"] = {name: _rate(copied) for name, copied in either.items()}
    others = max(float(m.similarity.max()) for name, m in structure.items() if name != "synthetic")
    identical = structure["synthetic"].similarity >= max(IDENTICAL, (1 + others) / 2)
    scores["identical"] = int(identical.sum())
    scores |= _verdict(either, scores["identical"])
    scores |= {"extractor": network.name, "weights_hash": network.weights_hash}
    scores["warnings"] = _warnings(scores["n"], len(set(held_out.patients.tolist())), scores["compared_with"])
    return scores


def _rate(copied: NDArray[np.bool_]) -> dict[str, Any]:
    from scipy.stats import binomtest

    count = int(copied.sum())
    between = binomtest(count, len(copied)).proportion_ci(method="exact")
    return {"copies": count, "rate": count / len(copied), "interval": [float(b) for b in between]}


def _verdict(copied: Mapping[str, NDArray[np.bool_]], identical: int) -> dict[str, Any]:
    from scipy.stats import fisher_exact

    reference = "control" if "control" in copied else "held_out"
    table = [[int(copied[name].sum()), int((~copied[name]).sum())] for name in ("synthetic", reference)]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    if identical:
        verdict = f"{identical} near-identical tile{'s' if identical > 1 else ''}"
    elif p < 0.05:
        verdict = "more copies than chance"
    else:
        verdict = "no more copies shown than chance"
    return {"p_value": p, "compared_with": reference, "verdict": verdict}


def _pairs(found: Mapping[str, Mapping[str, Matches]], rows: NDArray[np.int64], count: int) -> list[Pair]:
    structure, features = (found[space]["synthetic"] for space in SPACES)
    order = np.argsort(-structure.similarity, kind="stable")[:count]
    return [
        Pair(
            int(rows[i]),
            int(structure.reference[i]),
            int(structure.turn[i]),
            (int(structure.shift[i, 0]), int(structure.shift[i, 1])),
            float(structure.similarity[i]),
            float(features.similarity[i]),
        )
        for i in order
    ]


def _check(train: Real, synthetic: NDArray[np.uint8], held_out: Real) -> None:
    for name, images in (
        ("training", train.images),
        ("synthetic", synthetic),
        ("held-out", held_out.images),
    ):
        if not len(images):
            raise InputError(f"memorization: there are no {name} tiles; give some")
    shared = sorted(set(train.patients.tolist()) & set(held_out.patients.tolist()))
    if shared:
        raise InputError(
            f"memorization: patient {shared[0]} is both training and held out; held-out tiles must be of "
            "patients on which the generator was not trained"
        )
    if len(set(train.patients.tolist())) < 2:
        raise InputError(
            "memorization: the training tiles are of one patient; two are needed to measure the similarity "
            "of tiles of different patients"
        )


def _warnings(n: Mapping[str, int], patients: int, reference: str) -> list[str]:
    found = [
        f"{n[name]} {name.replace('_', '-')} tiles are too few for rates near {1 - BETWEEN_PATIENTS:.1%}; "
        f"expected at least {LEAST_TILES}"
        for name in ("synthetic", reference, "calibration")
        if n[name] < LEAST_TILES
    ]
    if patients < LEAST_PATIENTS:
        found.append(
            f"held-out tiles are of {patients} patient{'s' if patients > 1 else ''}; expected at least "
            f"{LEAST_PATIENTS}: tiles of one patient are similar, so the intervals are too narrow"
        )
    if reference == "held_out":
        found.append(
            "no control: tiles drawn for the nuclei of training tiles are similar to these in any case"
        )
    return found
