"""Images, masks and scales as callers give them: taken as what they are, or refused in one line.

``as_...`` converts what a notebook holds: arrays, nested lists, PIL images. ``checked_...``
takes arrays alone and is for code that has converted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.arguments import as_number, require_count, shown
from nucleosynth.errors import InputError

EXACT = 2**24
"""Labels above it are numbered anew for networks, which read them as float32."""


def checked_mpp(mpp: float | None) -> float:
    """Return `mpp` as a float, or raise an InputError that tells what it should be."""
    if mpp is None:
        raise InputError(
            "mpp is missing: nuclei are sized in µm; give the tiles' scale in µm/px, such as 0.5"
        )
    try:
        scale = as_number(mpp, "mpp")
    except InputError:
        scale = 0.0
    if not scale > 0:
        raise InputError(f"mpp is {shown(mpp)}; expected the tiles' scale in µm/px, such as 0.5")
    return scale


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
    return as_masks(masks, single=False)


def as_images(
    images: Any,
    *,
    name: str = "images",
    count: int | None = None,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Return RGB images as one array.

    Parameters
    ----------
    images
        Array or nested lists (n, h, w, 3), or (h, w, 3) for one image, of whole numbers from 0 to 255; a PIL
        image or a list of them; a TileSet or some of its tiles.
    name
        What messages call them.
    count, size
        How many they must be, and their (height, width) in px; None: any.

    Returns
    -------
    (n, h, w, 3) uint8; an array of this kind is returned as it is.

    Raises
    ------
    InputError
        Anything else, images of float, of different sizes, or with a transparent channel.
    """
    expected = "expected uint8 RGB of shape (n, h, w, 3)"
    array = plain_array(images, name, expected, mode="RGB")
    array = array[None] if array.ndim == 3 else array
    if array.dtype.kind == "f":
        raise InputError(
            f"{name} are {array.dtype} {array.shape}; {expected}: for values from 0 to 1 give "
            "(255 * images).round().astype('uint8')"
        )
    if array.ndim == 4 and array.shape[-1] == 4:
        raise InputError(f"{name} are {array.dtype} {array.shape}; {expected}: give images[..., :3]")
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype.kind not in "iu":
        raise InputError(f"{name} are {array.dtype} {array.shape}; {expected}")
    if array.dtype != np.uint8:
        if array.size and not 0 <= array.min() <= array.max() <= 255:
            raise InputError(f"{name} are {array.dtype} up to {array.max()}; expected values from 0 to 255")
        array = array.astype(np.uint8)
    _require_fit(array, name, count, size)
    return array


def as_masks(
    masks: Any,
    *,
    name: str = "masks",
    count: int | None = None,
    size: tuple[int, int] | None = None,
    single: bool = True,
) -> NDArray[Any]:
    """Return label images as one array.

    Parameters
    ----------
    masks
        Array or nested lists (n, h, w) of booleans or whole numbers, 0 = background; a PIL image or a list of
        them; a TileSet or some of its tiles.
    name
        What messages call them.
    count, size
        How many they must be, and their (height, width) in px; None: any.
    single
        Whether (h, w) stands for one mask.

    Returns
    -------
    (n, h, w) bool or of the integer type that was given.

    Raises
    ------
    InputError
        Anything else, numbers that are not whole, or negative labels.
    """
    array = plain_array(masks, name, "expected label images (n, h, w)", mode=None)
    array = array[None] if single and array.ndim == 2 else array
    if array.ndim != 3:
        raise InputError(f"{name} have shape {array.shape}; expected (n, h, w)")
    if array.dtype.kind not in "biu":
        raise InputError(
            f"{name} have dtype {array.dtype}; expected labels (whole numbers) or booleans: cut "
            "probabilities at a threshold, or give masks.astype('uint16')"
        )
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise InputError(f"{name} hold the label {array.min()}; expected 0 = background and nuclei from 1")
    _require_fit(array, name, count, size)
    return array


def as_instances(
    masks: Any, *, name: str = "masks", count: int | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.int32]:
    """Return label images for a network, (n, h, w) int32; takes what `as_masks` takes.

    Booleans become 0 and 1. Labels too large to be exact in float32 are numbered anew, in their order.
    """
    array = as_masks(masks, name=name, count=count, size=size)
    if array.size and array.max() >= EXACT:
        values, places = np.unique(array, return_inverse=True)
        first = 0 if values[0] == 0 else 1
        array = places.reshape(array.shape) + first
    return array.astype(np.int32)


def as_mpp(mpp: Any, *, otherwise: float | None = None) -> float:
    """Return a scale in µm/px as float, ``otherwise`` in place of None, or raise an InputError."""
    return checked_mpp(otherwise if mpp is None else mpp)


def plain_array(value: Any, name: str, expected: str, *, mode: str | None) -> NDArray[Any]:
    """Return an array of what a caller gives, PIL images in a colour mode; refuses what is none."""
    held = getattr(value, "images" if mode else "masks", None) if hasattr(value, "patients") else None
    if isinstance(held, np.ndarray):  # a TileSet, or some of its tiles
        return held
    if isinstance(value, np.ndarray):
        return value
    if value is None or isinstance(value, str | bytes | Mapping):
        raise InputError(f"{name} are {shown(value)}; {expected}")
    if _is_pil(value):
        return _from_pil(value, mode)[None]
    if isinstance(value, list | tuple) and value and all(_is_pil(one) for one in value):
        value = [_from_pil(one, mode) for one in value]
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # ragged, or what NumPy cannot read
        raise InputError(f"{name} have different sizes or are no arrays; {expected}") from None
    if array.dtype.kind not in "biufc":
        raise InputError(f"{name} are {shown(value)} of {array.dtype} values; {expected}")
    return array


def _is_pil(value: Any) -> bool:
    return type(value).__module__.startswith("PIL.") and hasattr(value, "convert")


def _from_pil(image: Any, mode: str | None) -> NDArray[Any]:
    return np.asarray(image if mode is None else image.convert(mode))


def _require_fit(array: NDArray[Any], name: str, count: int | None, size: tuple[int, int] | None) -> None:
    require_count(len(array), count, name)
    if size is not None and array.shape[1:3] != tuple(size):
        raise InputError(f"{name} are {array.shape[1:3]} px; expected {tuple(size)} (height, width)")
