"""Staining of nuclei: density of haematoxylin, chromatin heterogeneity, nucleoli."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.stain import concentrations
from nucleosynth.nuclei.instances import Numbered
from nucleosynth.nuclei.shapes import NuclearPixels, ratio_where

Floats = NDArray[np.float64]

MIN_INNER = 9
"""px that a nucleus must have inside its outermost ring for its texture to be measured."""
_MIN_DENSITY = 0.02  # in a paler nucleus chromatin is not measurable


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromatin:
    """Staining of m nuclei, all (m,) float64; NaN where it cannot be measured.

    Attributes
    ----------
    haematoxylin
        Mean haematoxylin density (optical density along the stain vector), over all pixels.
    heterogeneity
        Coefficient of variation of the haematoxylin density.
    nucleolus
        Prominence of nucleoli: how much denser than the median the densest twentieth of the nucleus starts,
        (95th percentile - median) / median.

    The last two leave out the ring of outermost pixels, which optical blur mixes with the surroundings.
    """

    haematoxylin: Floats
    heterogeneity: Floats
    nucleolus: Floats


def nuclear_chromatin(images: NDArray[np.uint8], nuclei: Numbered, pixels: NuclearPixels) -> Chromatin:
    """Measure the staining of every nucleus.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB tiles.
    nuclei, pixels
        Their nuclei.
    """
    count = len(nuclei.area)
    density = concentrations(images.reshape(-1, 3)[pixels.flat])[:, 0].astype(np.float64)
    inner = _inner(nuclei.ids).reshape(-1)[pixels.flat]
    owner, inside = pixels.owner[inner], density[inner]
    size = np.bincount(owner, minlength=count)
    centre = np.divide(
        np.bincount(owner, weights=inside, minlength=count), size, out=np.zeros(count), where=size > 0
    )
    square = np.bincount(owner, weights=(inside - centre[owner]) ** 2, minlength=count)
    known = (size >= MIN_INNER) & (centre > _MIN_DENSITY)
    spread = np.sqrt(square / np.maximum(size, 1))
    median, high = _quantiles(owner, inside, size, (0.5, 0.95))
    return Chromatin(
        haematoxylin=np.bincount(pixels.owner, weights=density, minlength=count) / nuclei.area,
        heterogeneity=ratio_where(spread, centre, known),
        nucleolus=ratio_where(high - median, median, known & (median > _MIN_DENSITY)),
    )


def _inner(ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark pixels whose four neighbours belong to the same nucleus; the tile's border is an edge."""
    same = np.zeros(ids.shape, bool)
    middle = ids[:, 1:-1, 1:-1]
    same[:, 1:-1, 1:-1] = (
        (middle == ids[:, :-2, 1:-1])
        & (middle == ids[:, 2:, 1:-1])
        & (middle == ids[:, 1:-1, :-2])
        & (middle == ids[:, 1:-1, 2:])
    )
    return same


def _quantiles(
    owner: NDArray[np.int64], values: Floats, size: NDArray[np.int64], shares: tuple[float, ...]
) -> list[Floats]:
    """Return quantiles of each owner's values, linear between the nearest two; undefined without values."""
    ordered = np.append(values[np.lexsort((values, owner))], np.nan)
    start, last = np.cumsum(size) - size, np.maximum(size - 1, 0)
    found = []
    for share in shares:
        low = np.floor(share * last).astype(np.int64)
        below, above = ordered[start + low], ordered[start + np.minimum(low + 1, last)]
        found.append(below + (share * last - low) * (above - below))
    return found
