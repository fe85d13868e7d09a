"""Typicality of a tile: its distance to real tiles of its class, relative to their own distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.prdc import NEIGHBOURS

LEAST_RADIUS = 0.01
"""Smallest radius relative to the median: repeated tiles have radius zero, which would divide by zero."""
BLOCK = 1024

Features = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def typicality(
    real: Features, real_labels: Rows, other: Features, other_labels: Rows, *, neighbours: int = NEIGHBOURS
) -> Floats:
    """Score the nearness of each tile to the real tiles of its class.

    Parameters
    ----------
    real, other : (n, d), (m, d) float
        Features.
    real_labels, other_labels : (n,), (m,) int
        Classes; a tile whose class has no real tile is compared with all real tiles.
    neighbours : int
        k; if a class has fewer other tiles, all of them.

    Returns
    -------
    (m,) float64
        Minus the distance to the k-th nearest real tile of the class, over the distance from that tile to its
        own k-th nearest: at most 0, about -1 for a real tile, lower for less typical tiles. Compare tiles of
        one class only.

    Raises
    ------
    InputError
        There is no real tile, or features differ in length.

    Notes
    -----
    The k-nearest-neighbour data description (de Ridder, Tax and Duin 1998). The realism score of Kynkaanniemi
    et al. 2019 is the inverse of the same ratio, at its largest over all real tiles: there one outlier with a
    wide ball makes everything around it realistic. Here only the k-th neighbour counts. A copy of a real tile
    is typical; `copies` finds copies.
    """
    if not len(real) or real.shape[1:] != other.shape[1:]:
        raise InputError(
            f"typicality: features {real.shape} of real tiles, {other.shape} of others; expected (n, d) and "
            "(m, d), n at least 1"
        )
    scores = np.empty(len(other), np.float64)
    for label in np.unique(other_labels).tolist():
        known, asked = real_labels == label, other_labels == label
        scores[asked] = -_ratio(real[known] if known.any() else real, other[asked], neighbours)
    return scores


def _ratio(real: Features, other: Features, neighbours: int) -> Floats:
    k = max(1, min(neighbours, len(real) - 1))
    radius = _kth(real, real, min(k + 1, len(real)))[0]  # the nearest of all is the tile itself
    least = LEAST_RADIUS * float(np.median(radius))
    distance, nearest = _kth(other, real, k)
    return np.asarray(distance / np.maximum(radius, least or 1.0)[nearest])


def _kth(queries: Features, references: Features, k: int) -> tuple[Floats, Rows]:
    """Return the distance from each query to its k-th nearest reference, and the row of that one.

    Rounding errors of the difference of large numbers count as distance zero.
    """
    middle = references.mean(axis=0, dtype=np.float64)
    a, b = (np.asarray(part, np.float64) - middle for part in (queries, references))
    square_a, square_b = (a**2).sum(axis=1), (b**2).sum(axis=1)
    noise = 1e-12 * max(square_a.max(), square_b.max())
    distance, row = np.empty(len(a), np.float64), np.empty(len(a), np.int64)
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        apart = square_a[part, None] + square_b - 2 * (a[part] @ b.T)
        apart[apart < noise] = 0
        row[part] = np.argpartition(apart, k - 1, axis=1)[:, k - 1]
        distance[part] = np.sqrt(np.take_along_axis(apart, row[part, None], axis=1)[:, 0])
    return distance, row
