"""Precision, recall, density and coverage, from the nearest neighbours of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.seeds import rng

NEIGHBOURS = 5
SCORES = ("precision", "recall", "density", "coverage")
Features = NDArray[np.floating]
Rows = NDArray[np.integer]
Distances = NDArray[np.float32]


def neighbour_scores(real: Features, other: Features, *, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """Compare two sets of features by balls around tiles that reach the k-th neighbour of the same set.

    Parameters
    ----------
    real, other : (n, d), (m, d) float
        Features, two rows at least. Scores depend on n and m: compare at equal n and equal m only.
    neighbours : int
        k; if a set has fewer other tiles, all of them.

    Returns
    -------
    dict
        `precision`: share of the other tiles inside a ball of a real tile. `recall`: share of real tiles
        inside a ball of an other tile. `density`: number of balls of real tiles that contain an other tile,
        averaged over the other tiles, over k; 1 where both sets have the same distribution, and it may exceed
        1. `coverage`: share of real tiles whose ball contains an other tile.

    Notes
    -----
    Kynkaanniemi et al. 2019, eq. 2 and 3 (precision, recall); Naeem et al. 2020, eq. 6 and 10 (density,
    coverage). A tile on the edge of a ball is inside.
    """
    distances = squared_distances(np.concatenate([real, other]))
    rows = np.arange(len(distances))
    return _scores(distances, rows[: len(real)], rows[len(real) :], neighbours)


def prdc_with_reference(
    real: Features,
    synthetic: Features,
    halves: Sequence[tuple[Rows, Rows]],
    *,
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
) -> dict[str, Any]:
    """Score synthetic tiles, and equally many real tiles of other patients as a reference.

    Parameters
    ----------
    real, synthetic : (n, d), (m, d) float
        Features.
    halves : sequence of (rows, rows)
        Rows of ``real`` divided into two halves of patients, several times. Each half is compared with
        synthetic tiles and with the other half.
    neighbours : int
        k of :func:`neighbour_scores`.
    seed : int
        Decides which tiles are drawn.

    Returns
    -------
    dict
        `k`; `n`, synthetic tiles, and real tiles of the other half, in each comparison; for each score of
        :func:`neighbour_scores` its means over the halves, `synthetic` and `real`, and their ratio `of_real`.
        Without halves all tiles are compared and the last two are None.
    """
    distances = squared_distances(np.concatenate([real, synthetic]))
    rows, added = np.arange(len(real)), np.arange(len(real), len(distances))
    turns = [pair for one, other in halves for pair in ((one, other), (other, one))]
    n = min([len(synthetic), *(len(by) for _, by in turns)])
    ours, reals = [], []
    for turn, (covered, by) in enumerate(turns):
        drawn = rng(seed, "neighbours-synthetic", turn).permutation(added)[:n]
        others = rng(seed, "neighbours-real", turn).permutation(by)[:n]
        ours.append(_scores(distances, covered, drawn, neighbours))
        reals.append(_scores(distances, covered, others, neighbours))
    if not turns:
        ours.append(_scores(distances, rows, added, neighbours))
    return {"k": neighbours, "n": n, **{name: _beside(ours, reals, name) for name in SCORES}}


def squared_distances(features: Features, *, block: int = 1024) -> Distances:
    """Return squared distances between all rows.

    They are rounded to single precision, and to zero where they are only rounding errors of the difference of
    large numbers: a tile and its copy are equally far from a third, and at distance 0 from each other.

    Parameters
    ----------
    features : (n, d) float
    block : int
        Rows computed at a time: memory only.

    Returns
    -------
    (n, n) float32
    """
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)
    squares = (x**2).sum(axis=1)
    noise = 1e-12 * squares.max(initial=0.0)
    found = np.empty((len(x), len(x)), np.float32)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        apart = squares[part, None] + squares - 2 * (x[part] @ x.T)
        apart[apart < noise] = 0
        found[part] = apart
    return found


def _scores(distances: Distances, real: Rows, other: Rows, neighbours: int) -> dict[str, float]:
    """Return the scores of given rows of a matrix of distances."""
    across = distances[np.ix_(real, other)]
    inside = across <= _radii(distances, real, neighbours)[:, None]  # of the ball of a real tile
    k = min(neighbours, len(real) - 1)
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((across <= _radii(distances, other, neighbours)).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / k),
        "coverage": float(inside.any(axis=1).mean()),
    }


def _radii(distances: Distances, rows: Rows, neighbours: int) -> Distances:
    """Return the squared distance of given tiles to their k-th nearest other tile."""
    among = distances[np.ix_(rows, rows)]
    k = min(neighbours, len(rows) - 1)  # the nearest of all is the tile itself
    return np.asarray(np.partition(among, k, axis=1)[:, k])


def _beside(
    ours: Sequence[dict[str, float]], reals: Sequence[dict[str, float]], name: str
) -> dict[str, float | None]:
    synthetic = float(np.mean([scores[name] for scores in ours]))
    real = float(np.mean([scores[name] for scores in reals])) if reals else None
    return {"synthetic": synthetic, "real": real, "of_real": synthetic / real if real else None}
