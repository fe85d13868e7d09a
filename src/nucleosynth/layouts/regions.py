"""Random outlines of regions for layouts to fill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.phantom.random_fields import Waves
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng


def random_regions(
    n: int,
    *,
    size: int,
    mpp: float,
    cover: float = 0.6,
    scale: float = 40.0,
    lumen: float = 0.0,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Draw smooth regions like nests of cells or, with a lumen, like glands.

    Parameters
    ----------
    size, mpp
        px, of square tiles, and µm per px.
    cover
        Share of each tile that the patches cover, lumen included.
    scale
        Typical width of a patch, µm.
    lumen
        Share of the patches' inner part that stays free, 0 to 0.9; what is left is a rim of epithelium.
    seed
        Region i depends only on the seed and i.

    Returns
    -------
    (n, size, size) bool
    """
    if not (0 < cover <= 1 and 0 <= lumen <= 0.9 and scale > 0 and mpp > 0):
        raise InputError(
            f"regions: cover {cover}, lumen {lumen}, scale {scale} µm; expected cover in (0, 1], lumen in "
            "[0, 0.9], scale above 0"
        )
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(mpp)
    regions = np.empty((n, size, size), bool)
    for index in range(n):
        field = Waves.draw(rng(seed, "region", index), (scale, 3 * scale), count=16).grid(axis)
        height = np.argsort(np.argsort(field, axis=None)).reshape(field.shape) / field.size
        regions[index] = (height >= 1 - cover) & (height < 1 - cover * lumen)
    return regions
