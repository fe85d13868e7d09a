"""Decode images and label masks; what cannot be used is refused in one line that names the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nucleosynth.data.pillow import decode_pillow, refuse_slide
from nucleosynth.data.tiff import decode_tiff
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MaskKind = Literal["instances", "binary"]

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}
MIN_NUCLEUS = 10  # px at source resolution: components up to this are specks of a binary mask

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PNG = b"\x89PNG\r\n\x1a\n"
_NPY = b"\x93NUMPY"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an RGB image; an alpha channel is dropped.

    Parameters
    ----------
    path
        PNG, TIFF (first page), JPEG, WebP or BMP, known by its content rather than its suffix.

    Returns
    -------
    (h, w, 3) uint8.

    Raises
    ------
    InputError
        Where the file is missing, damaged, truncated, grayscale, not 8-bit, not RGB or larger than a frame.
    """
    with _decoding(path):
        array = _decode_image(path)
    if array.ndim == 2 or array.shape[-1] in (1, 2):
        raise InputError(f"{path}: is grayscale; expected an RGB image of H&E tissue")
    if array.dtype != np.uint8:
        raise InputError(f"{path}: has {array.dtype.name} pixels; expected 8-bit RGB: convert it")
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise InputError(f"{path}: has shape {array.shape}; expected (height, width, 3): save it as RGB")
    return np.ascontiguousarray(array[..., :3])


def read_mask(path: Path, *, kind: MaskKind) -> NDArray[np.int32]:
    """Decode a nuclei mask into an instance label image.

    Parameters
    ----------
    path
        An image of one channel, or a ``.npy`` array.
    kind
        ``instances``: one number per nucleus, 0 = background. ``binary``: any other value is nucleus, and
        each 4-connected component of more than 10 px is one nucleus.

    Returns
    -------
    (h, w) int32.

    Raises
    ------
    InputError
        Where the file is missing or damaged, has colours, fractions or negative numbers, or contradicts
        ``kind``.
    """
    with _decoding(path):
        array = _decode_mask(path)
    if array.ndim != 2:
        raise InputError(f"{path}: mask has shape {array.shape} (RGB?); expected one label number per pixel")
    if array.dtype.kind not in "bui":
        raise InputError(f"{path}: mask has {array.dtype.name} pixels; expected whole numbers")
    top = int(array.max(initial=0))
    if int(array.min(initial=0)) < 0 or top > np.iinfo(np.int32).max:
        raise InputError(f"{path}: mask holds labels below 0 or above 2^31; expected 0 = background, 1, 2")
    if kind == "binary":
        return _components(array, path)
    if top == 255 and array.dtype == np.uint8 and np.isin(array, (0, 255)).all():
        raise InputError(f"{path}: mask holds only 0 and 255; it is probably binary: give mask_kind: binary")
    return array.astype(np.int32)


def read_pair(
    image: Path, mask: Path | None = None, *, kind: MaskKind = "instances"
) -> tuple[NDArray[np.uint8], NDArray[np.int32] | None]:
    """Decode an image and, where there is one, its mask: (h, w, 3) uint8 and (h, w) int32 of one size."""
    pixels = read_image(image)
    if mask is None:
        return pixels, None
    labels = read_mask(mask, kind=kind)
    if labels.shape != pixels.shape[:2]:
        raise InputError(
            f"{mask}: mask is {labels.shape[1]} x {labels.shape[0]} px, its image {image.name} "
            f"{pixels.shape[1]} x {pixels.shape[0]} px; expected one size: export the mask at full resolution"
        )
    return pixels, labels


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the name and the data root") from None
    except Exception as error:  # on a damaged file the decoders raise nearly anything, even TokenError
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({reason}); copy or export it again") from None


def _decode_image(path: Path) -> NDArray[Any]:
    data = path.read_bytes()
    if data.startswith(_TIFF):
        return decode_tiff(path, colour=True)
    # imagecodecs is 1.5-2.5 times as fast as Pillow here and keeps 16-bit PNG apart from 8-bit; its JPEG
    # decoder, though, fills the rest of a truncated file with grey in silence.
    if data.startswith(_PNG):
        import imagecodecs

        width, height = struct.unpack(">II", data[16:24])
        refuse_slide(path, width, height)
        return np.asarray(imagecodecs.png_decode(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        import imagecodecs

        return np.asarray(imagecodecs.webp_decode(data))
    return decode_pillow(path, palette=True)


def _decode_mask(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_TIFF):
        return decode_tiff(path, colour=False)
    if head.startswith(_NPY):
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array
    return decode_pillow(path, palette=False)


def _components(array: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """Label the 4-connected components of more than `MIN_NUCLEUS` px, from 1 in order of appearance."""
    from scipy import ndimage

    foreground = array != 0
    values = np.unique(array[foreground])
    if len(values) > 1:
        raise InputError(
            f"{path}: mask holds {len(values)} values above 0, a binary mask one; give mask_kind: instances"
        )
    components, count = ndimage.label(foreground)
    areas = np.bincount(components.ravel(), minlength=count + 1)
    kept = areas > MIN_NUCLEUS
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    labels: NDArray[np.int32] = numbers[components]
    return labels
