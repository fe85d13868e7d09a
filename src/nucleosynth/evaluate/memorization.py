"""Memorisation: whether synthetic tiles are copies of training tiles, more often than strangers' real ones.

A tile is taken for a copy where it is nearer to a training tile than nearly all real tiles are to tiles of
other patients, in structure (`copies`: turned, mirrored, shifted, restained) or in the features of a network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.copies import TURNS, Matches, nearest_tiles, turned
from nucleosynth.evaluate.features import Extractor, get_extractor
from nucleosynth.runs import write_json
from nucleosynth.seeds import rng

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet

STRANGERS = 0.995
"""Share of real tiles that are farther from all tiles of other patients than a copy is from its original."""
LEAST_CALIBRATION = 200
"""Fewer real tiles do not tell that share."""
SPACES = ("structure", "features")


@dataclass(frozen=True)
class Real:
    """Real tiles, (n, s, s, 3) uint8, and the patient of each, (n,)."""

    images: NDArray[np.uint8]
    patients: NDArray[np.str_]

    def some(self, n: int, *, seed: int, stream: str) -> Real:
        """Return at most ``n`` of them, drawn at random."""
        if n >= len(self.images):
            return self
        rows = np.sort(rng(seed, stream).permutation(len(self.images))[:n])
        return Real(self.images[rows], self.patients[rows])


@dataclass(frozen=True)
class Pair:
    """A synthetic tile (its row) and the training tile (its row) that it is nearest to in structure."""

    synthetic: int
    train: int
    turn: int
    shift: tuple[int, int]
    structure: float
    features: float


@dataclass(frozen=True)
class Memorization:
    """What `memorization` found: scores for JSON, and the nearest pairs, nearest first."""

    scores: dict[str, Any]
    pairs: list[Pair]


def memorization(
    train: Real,
    synthetic: NDArray[np.uint8],
    held_out: Real,
    *,
    extractor: str | Extractor = "lite0",
    limit: int = 500,
    pairs: int = 12,
    seed: int = 0,
) -> Memorization:
    """Count synthetic tiles that are copies of training tiles, beside real tiles of held-out patients.

    Parameters
    ----------
    train
        All tiles that the generator learned from, those of its start included, in their patients.
    synthetic : (n, s, s, 3) uint8
    held_out
        Real tiles of patients that it never saw: what chance and shared anatomy make alike.
    extractor
        Whose features are compared.
    limit
        At most so many synthetic, held-out and calibration tiles are looked at; always all training tiles.
    pairs
        How many of the nearest pairs are returned.

    Returns
    -------
    Memorization
        `scores` holds, for each of `SPACES`, the `threshold` between patients, and of `synthetic` and
        `held_out` tiles `copies`, `rate`, `interval` (95 %, Clopper and Pearson) and the `median` similarity;
        of `structure` also `ratio`, the median over synthetic tiles of their distance to the nearest
        training tile by that to the nearest held-out tile, and `nearer_to_train`, the share that is nearer
        to the first, both among as many tiles of each side: 1 and 0.5 where training tiles are like
        strangers; the same counts for either space as `copies`; `p_value` that as many copies arise where
        synthetic tiles are like held-out ones (Fisher, one-sided); `verdict`; `n`; `extractor`;
        `weights_hash`; `warnings`.

    Raises
    ------
    InputError
        Tiles of different shapes, an empty set, a patient on both sides, fewer than two training patients.
    """
    _check(train, synthetic, held_out)
    network = get_extractor(extractor) if isinstance(extractor, str) else extractor
    rows = np.sort(rng(seed, "memorization-synthetic").permutation(len(synthetic))[:limit])
    made, strangers = np.asarray(synthetic[rows]), held_out.some(limit, seed=seed, stream="strangers")
    calibration = train.some(limit, seed=seed, stream="calibration")
    found: dict[str, dict[str, Matches]] = {}
    known = network(train.images)
    for space in SPACES:
        look = nearest_tiles if space == "structure" else _FeatureSearch(network, train.images, known)
        found[space] = {
            "synthetic": look(made, train.images),
            "held_out": look(strangers.images, train.images),
            "calibration": look(
                calibration.images,
                train.images,
                query_groups=calibration.patients,
                reference_groups=train.patients,
            ),
        }
    scores: dict[str, Any] = {"n": {"train": len(train.images), "synthetic": len(made)}}
    scores["n"] |= {"held_out": len(strangers.images), "calibration": len(calibration.images)}
    copied: dict[str, list[NDArray[np.bool_]]] = {"synthetic": [], "held_out": []}
    for space, matches in found.items():
        threshold = float(np.quantile(matches["calibration"].similarity, STRANGERS))
        scores[space] = {"threshold": threshold}
        for name, flags in copied.items():
            flags.append(matches[name].similarity > threshold)
            scores[space][name] = {
                **_rate(flags[-1]),
                "median": float(np.median(matches[name].similarity)),
            }
    scores["structure"] |= _equal_sides(made, train, held_out, seed=seed)
    either = {name: np.logical_or.reduce(flags) for name, flags in copied.items()}
    scores["copies"] = {name: _rate(flags) for name, flags in either.items()}
    scores |= _verdict(either["synthetic"], either["held_out"])
    scores |= {"extractor": network.name, "weights_hash": network.weights_hash}
    scores["warnings"] = _warnings(scores["n"])
    return Memorization(scores, _pairs(found, rows, pairs))


def divide(tilesets: Sequence[TileSet], saw: Collection[str]) -> tuple[Real, Real]:
    """Part the tiles of some TileSets into those of the patients that a generator saw, and all others.

    Raises
    ------
    InputError
        Nobody it saw, nobody it did not see, or tiles of different sizes.
    """
    sizes = {tiles.size for tiles in tilesets}
    if len(sizes) > 1:
        raise InputError(
            f"memorization: tiles of {' and '.join(map(str, sorted(sizes)))} px; expected one size"
        )
    images = np.concatenate([np.asarray(tiles.images) for tiles in tilesets])
    patients = np.concatenate([tiles.patients for tiles in tilesets])
    seen = np.isin(patients, sorted(saw))
    for here, who in ((seen, "that the generator saw"), (~seen, "that it never saw")):
        if not here.any():
            raise InputError(f"{tilesets[0].path}: no tile of a patient {who}; give TileSets that hold some")
    return Real(images[seen], patients[seen]), Real(images[~seen], patients[~seen])


def write_memorization(
    found: Memorization, train: Real, synthetic: NDArray[np.uint8], out: Path, *, columns: int = 12
) -> list[Path]:
    """Write ``memorization.json`` and ``pairs.png``: synthetic tiles, each above its nearest training tile.

    Synthetic tiles are shown in the turn in which they match.
    """
    from nucleosynth.render.grid import grid, save_png

    stored, picture = out / "memorization.json", out / "pairs.png"
    write_json(stored, {**found.scores, "pairs": [asdict(pair) for pair in found.pairs]})
    tiles = []
    for start in range(0, len(found.pairs), columns):
        row = found.pairs[start : start + columns]
        tiles += [turned(synthetic[p.synthetic][None], p.turn)[0] for p in row]
        tiles += [np.full_like(synthetic[0], 255)] * (columns - len(row))
        tiles += [train.images[p.train] for p in row]
        tiles += [np.full_like(synthetic[0], 255)] * (columns - len(row))
    save_png(picture, grid(np.stack(tiles), columns=columns, scale=2))
    return [stored, picture]


class _FeatureSearch:
    """`nearest_tiles` by the cosine of features: the query in all eight turns."""

    def __init__(self, network: Extractor, references: NDArray[np.uint8], known: NDArray[np.float32]) -> None:
        self._network, self._references, self._known = network, references, _unit(known)

    def __call__(
        self,
        queries: NDArray[np.uint8],
        references: NDArray[np.uint8],
        *,
        query_groups: NDArray[np.str_] | None = None,
        reference_groups: NDArray[np.str_] | None = None,
    ) -> Matches:
        assert references is self._references
        asked = [_unit(self._network(np.ascontiguousarray(turned(queries, turn)))) for turn in range(TURNS)]
        scores = np.stack([features @ self._known.T for features in asked])  # 8 n m
        if query_groups is not None and reference_groups is not None:
            scores[:, query_groups[:, None] == reference_groups[None]] = -1
        best = scores.max(axis=0)
        reference = best.argmax(axis=1)
        every = np.arange(len(queries))
        turn = scores[:, every, reference].argmax(axis=0)
        shift = np.zeros((len(queries), 2), np.int64)
        return Matches(best[every, reference], reference, turn, shift)


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12), np.float32)


def _rate(copied: NDArray[np.bool_]) -> dict[str, Any]:
    from scipy.stats import binomtest

    count = int(copied.sum())
    between = binomtest(count, len(copied)).proportion_ci(method="exact")
    return {"copies": count, "rate": count / len(copied), "interval": [float(b) for b in between]}


def _equal_sides(made: NDArray[np.uint8], train: Real, held_out: Real, *, seed: int) -> dict[str, float]:
    """Compare the way to training tiles with that to as many tiles of strangers."""
    n = min(len(train.images), len(held_out.images))
    sides = [side.some(n, seed=seed, stream="equal-sides") for side in (train, held_out)]
    near, far = (1 - nearest_tiles(made, side.images).similarity for side in sides)
    return {
        "ratio": float(np.median(near / np.maximum(far, 1e-6))),
        "nearer_to_train": float(np.mean(near < far)),
    }


def _verdict(made: NDArray[np.bool_], real: NDArray[np.bool_]) -> dict[str, Any]:
    from scipy.stats import fisher_exact

    table = [[int(part.sum()), int((~part).sum())] for part in (made, real)]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    more = p < 0.05
    return {"p_value": p, "verdict": "more copies than chance" if more else "no more copies than chance"}


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
            f"memorization: patient {shared[0]} is on both sides; held-out tiles must be of patients that "
            "the generator never saw"
        )
    if len(set(train.patients.tolist())) < 2:
        raise InputError(
            "memorization: the training tiles are of one patient; two are needed to tell how alike tiles "
            "of strangers are"
        )


def _warnings(n: Mapping[str, int]) -> list[str]:
    few = [name for name in ("held_out", "calibration") if n[name] < LEAST_CALIBRATION]
    return [
        f"{n[name]} {name.replace('_', '-')} tiles tell little of a rate of {1 - STRANGERS:.1%}; "
        f"expected at least {LEAST_CALIBRATION}"
        for name in few
    ]
