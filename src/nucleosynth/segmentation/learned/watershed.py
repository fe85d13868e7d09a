"""Watershed that cuts nuclei out of the networks' maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Settings of the watershed; lengths and areas in µm, so they do not depend on the picture's scale.

    Attributes
    ----------
    nucleus : float
        `nucleus` map above which a pixel belongs to a nucleus.
    core : float
        `core` map above which a pixel may seed one.
    blur : float
        Standard deviation of the Gaussian over `core` before seeds are taken, µm.
    least_seed, least_area : float
        Smaller seeds and smaller nuclei are dropped, µm².
    """

    nucleus: float = 0.5
    core: float = 0.5
    blur: float = 0.4
    least_seed: float = 0.75
    least_area: float = 5.0


def cut_nuclei(maps: NDArray[np.uint8], mpp: float, *, cut: Cut) -> NDArray[np.int32]:
    """Seed one nucleus at each connected core and let it grow over `nucleus`.

    Parameters
    ----------
    maps : (2, h, w) uint8
        `nucleus` and `core`, 255 = 1.
    mpp : float
        Scale of the maps, µm/px.

    Returns
    -------
    (h, w) int32
        0 = background, 1..k without gaps.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    inside = maps[0] > 255 * cut.nucleus
    if not inside.any():
        return np.zeros(inside.shape, np.int32)
    core = ndimage.gaussian_filter(maps[1].astype(np.float32), cut.blur / mpp)
    seeds, _ = ndimage.label((core > 255 * cut.core) & inside)
    seeds = _drop_small(seeds, cut.least_seed / mpp**2)
    grown = watershed(-core, seeds, mask=inside)
    return _drop_small(grown, cut.least_area / mpp**2)


def _drop_small(labels: NDArray[np.int32], least: float) -> NDArray[np.int32]:
    """Drop labels of fewer px and renumber the others from 1."""
    areas = np.bincount(labels.ravel())
    kept = areas >= max(1.0, least)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    renumbered: NDArray[np.int32] = numbers[labels]
    return renumbered
