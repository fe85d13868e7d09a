"""Images, masks and scales as callers give them: taken as what they are, or refused in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError


def checked_mpp(mpp: float | None) -> float:
    """Return `mpp` as a float, or raise an InputError that tells what it should be."""
    if mpp is None:
        raise InputError(
            "mpp is missing: nuclei are sized in µm; give the tiles' scale in µm/px, such as 0.5"
        )
    if not (isinstance(mpp, (int, float)) and math.isfinite(mpp) and mpp > 0):
        raise InputError(f"mpp is {mpp!r}; expected the tiles' scale in µm/px, such as 0.5")
    return float(mpp)


def checked_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (n, h, w, 3) uint8 as it is, or raise an InputError that tells what was found."""
    if not isinstance(images, np.ndarray):
        raise InputError(f"images are a {type(images).__name__}; expected an array of uint8 RGB (n, h, w, 3)")
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images are {images.dtype} {images.shape}; expected uint8 RGB of shape (n, h, w, 3)"
        )
    return images


def checked_masks(masks: ArrayLike) -> NDArray[Any]:
    """Return masks as an array of shape (n, h, w), or raise an InputError that tells what was found."""
    array = np.asarray(masks)
    if array.ndim != 3:
        raise InputError(f"masks have shape {array.shape}; expected (n, h, w)")
    if array.dtype.kind not in "biu":
        raise InputError(
            f"masks have dtype {array.dtype}; expected labels (whole numbers) or booleans: cut them first"
        )
    return array
