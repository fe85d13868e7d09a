"""Resampling between a picture's µm/px and the scale of a segmenter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.grid import Grid, resample_image
from nucleosynth.errors import InputError

MPP_RANGE = (0.1, 2.0)
"""Range of µm/px in which pictures can be resampled to a segmenter's scale."""


def check_scale(mpp: float) -> None:
    """Refuse a scale at which no segmenter of fixed scale can work."""
    low, high = MPP_RANGE
    if not low <= mpp <= high:
        raise InputError(
            f"mpp is {mpp:g} µm/px; this segmenter works at {low:g} to {high:g} µm/px: "
            "resample the images, or correct the scale"
        )


def resample_images(images: NDArray[np.uint8], mpp: float, *, to: float) -> NDArray[np.uint8]:
    """Resample pictures to another scale, each whole, anti-aliased.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB at `mpp` µm/px.
    to : float
        µm/px of the result.

    Returns
    -------
    (n, h', w', 3) uint8
        With h' the nearest whole number to h * mpp / to, at least 1.
    """
    scale = mpp / to
    height, width = (max(1, round(side * scale)) for side in images.shape[1:3])
    if (height, width) == images.shape[1:3] or not len(images):
        return images
    grid = Grid(rows=height, columns=width, top=0, left=0, size=1, scale=scale)
    return np.stack([resample_image(image, grid) for image in images])


def labels_at(labels: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Resample a label image (h', w') to another shape by nearest neighbour."""
    rows, columns = (
        np.minimum((np.arange(side) + 0.5) * own / side, own - 1).astype(np.intp)
        for side, own in zip(shape, labels.shape, strict=True)
    )
    nearest: NDArray[np.int32] = labels[rows[:, None], columns]
    return nearest
