"""Spacing of nuclei: a pairwise Gibbs process on distances in units of the nuclei's own reach.

The distance of a pair is divided by the sum of the two half axes along the line between the centres: below 1
their ellipses overlap, at 1 they touch. How often each distance occurs among real nuclei is learned as the
weight of a pair at that distance, by iterative Boltzmann inversion (Reith, Pütz & Müller-Plathe 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.contours import Contours, Floats
from nucleosynth.layouts.descriptors import Described

_STEP = 0.15
EDGES = np.arange(0.6, 3.01, _STEP)
"""Edges of the distance bins; smaller distances are forbidden, larger ones have no influence."""

BINS = len(EDGES) - 1
_CANDIDATES = 80
_FORBIDDEN = -12.0  # log weight of a pair nearer than the first bin
_CLEARANCE = 0.8
_OVERLAP = 0.85  # distance below which a nucleus has no room: the tile is full


def start_weights() -> NDArray[np.float64]:
    """Return initial log weights, (BINS,), of a plain hard core: nuclei hardly overlap."""
    return np.where(EDGES[:-1] < 0.89, -4.0, 0.0)


def refine_weights(
    weights: NDArray[np.float64], real: NDArray[np.float64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Do one step of the inversion: a distance that is drawn too seldom gets more weight.

    Parameters
    ----------
    weights : (BINS,)
        Log weights that the layouts were drawn with.
    real, drawn : (BINS,)
        Histograms of :func:`pair_histogram`.
    """
    few = 0.02 * max(float(real.mean()), 1e-6)
    return np.clip(weights + 0.8 * np.log((real + few) / (drawn + few)), -7.0, 2.0)


def pair_histogram(described: Described) -> NDArray[np.float64]:
    """Count pairs of nuclei of one tile by distance, per nucleus, (BINS,)."""
    order = np.argsort(described.tile, kind="stable")
    firsts = np.flatnonzero(np.diff(described.tile[order], prepend=-1))
    counts = np.zeros(BINS)
    for members in np.split(order, firsts[1:]):
        if len(members) > 1:
            i, j = np.triu_indices(len(members), 1)
            one, other = described.contours.take(members[i]), described.contours.take(members[j])
            counts += np.histogram(_distance(one, other), EDGES)[0]
    return counts / max(1, len(order))


def place(
    generator: np.random.Generator,
    shapes: Contours,
    weights: NDArray[np.float64],
    *,
    extent: tuple[float, float],
    margin: float,
    inside: NDArray[np.bool_],
    region: NDArray[np.float32] | None = None,
) -> Contours:
    """Place nuclei, the largest first; one without room is left out.

    Each gets one of 80 random places, with a probability proportional to the weights of its pairs with the
    nuclei placed before.

    Parameters
    ----------
    shapes
        m nuclei; their positions are ignored.
    weights : (BINS,)
        Log weight of a pair by distance.
    extent
        Height and width of the tile, µm.
    margin
        Width of the rim outside the tile that nuclei may reach in from, µm.
    inside : (m,) bool
        Whether a nucleus has its centre in the tile; otherwise in the rim.
    region : (h, w) float32, optional
        Depth of each point of the tile inside the region to fill, µm, 0 outside. A nucleus keeps 0.8
        of its radius away from the outline. The rim continues the tile's outermost pixels.

    Returns
    -------
    Contours
        The placed nuclei, µm from the tile's upper left corner.
    """
    shapes = shapes.take(order := np.argsort(-shapes.radius, kind="stable"))
    x, y, allowed = _candidates(generator, inside[order], extent=extent, margin=margin)
    if region is not None:
        allowed &= _depth(region, x, y, extent) > _CLEARANCE * shapes.radius[:, None]
    luck = generator.gumbel(size=x.shape)
    padded = np.concatenate([[_FORBIDDEN], weights, [0.0]])
    px, py = np.zeros(len(shapes), np.float32), np.zeros(len(shapes), np.float32)
    kept: list[int] = []
    for i in range(len(shapes)):
        options = np.flatnonzero(allowed[i])
        if not len(options):
            continue
        score = luck[i, options]
        if kept:
            placed = np.array(kept)
            dx, dy = px[placed] - x[i, options, None], py[placed] - y[i, options, None]
            apart = np.hypot(dx, dy) + np.float32(1e-6)
            reach = _reach(shapes, placed, dx / apart, dy / apart)
            reach += _reach(shapes, np.array([i]), dx / apart, dy / apart)
            distance = apart / reach
            pairs = padded[np.clip((distance - EDGES[0]) / _STEP + 1, 0, BINS + 1).astype(np.int64)]
            score = score + pairs.sum(axis=1)
            best = int(np.argmax(score))
            if distance[best].min() < _OVERLAP:
                continue
        else:
            best = int(np.argmax(score))
        px[i], py[i] = x[i, options[best]], y[i, options[best]]
        kept.append(i)
    index = np.array(kept, np.int64)
    return Contours(px, py, shapes.radius, shapes.aspect, shapes.angle, shapes.contour).take(index)


def _candidates(
    generator: np.random.Generator,
    inside: NDArray[np.bool_],
    *,
    extent: tuple[float, float],
    margin: float,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Draw random places of each nucleus, (m, candidates), and mark those in its allowed area."""
    unit = generator.random((2, len(inside), _CANDIDATES), dtype=np.float32)
    rim = np.where(inside, 0, np.float32(margin))[:, None]
    y, x = (u * (np.float32(length) + 2 * rim) - rim for u, length in zip(unit, extent, strict=True))
    in_tile = (x >= 0) & (x < extent[1]) & (y >= 0) & (y < extent[0])
    return x, y, in_tile == inside[:, None]


def _depth(
    region: NDArray[np.float32], x: Floats, y: Floats, extent: tuple[float, float]
) -> NDArray[np.float32]:
    height, width = region.shape
    row = np.clip(y * (height / extent[0]), 0, height - 1).astype(np.int64)
    column = np.clip(x * (width / extent[1]), 0, width - 1).astype(np.int64)
    return np.asarray(region[row, column])


def _reach(shapes: Contours, which: NDArray[np.int64], ux: Floats, uy: Floats) -> Floats:
    """Return the half axis of the ellipses along unit vectors (.., len(which))."""
    cos, sin = np.cos(shapes.angle[which]), np.sin(shapes.angle[which])
    along, across = ux * cos + uy * sin, uy * cos - ux * sin
    aspect = shapes.aspect[which]
    reach = shapes.radius[which] / np.sqrt(along**2 / aspect + across**2 * aspect)
    return np.asarray(reach, np.float32)


def _distance(one: Contours, other: Contours) -> Floats:
    dx, dy = other.x - one.x, other.y - one.y
    apart = np.hypot(dx, dy) + np.float32(1e-6)
    every = np.arange(len(one))
    reach = _reach(one, every, dx / apart, dy / apart) + _reach(other, every, dx / apart, dy / apart)
    distance: Floats = apart / reach
    return distance
