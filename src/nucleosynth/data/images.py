"""Decode images and label masks; what cannot be used is refused in one line that names the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MaskKind = Literal["instances", "binary"]

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}
MAX_PIXELS = 2**28  # 16,384 px squared; larger is a slide, not a frame
MIN_NUCLEUS = 10  # px at source resolution: components up to this are specks of a binary mask

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PNG = b"\x89PNG\r\n\x1a\n"
# TIFF compressions that scanners and programs write: none, LZW, JPEG, Deflate, PackBits, JPEG 2000, LZMA,
# Zstandard, WebP. Some decoders of rarer ones crash the process on damaged files.
_COMPRESSIONS = (1, 5, 7, 8, 32773, 32946, 33003, 33005, 34712, 34925, 50000, 50001)
_LZW = 5
_OTHER_COLOURS = (3, 5, 8, 9, 10)  # TIFF photometric: palette, CMYK and the L*a*b* kinds
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
        raise InputError(f"{path}: mask holds 0 and 255 alone; it looks binary: give mask_kind: binary")
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
        return _decode_tiff(path, colour=True)
    # imagecodecs is 1.5-2.5 times as fast as Pillow here and keeps 16-bit PNG apart from 8-bit; its JPEG
    # decoder, though, fills the rest of a truncated file with grey in silence.
    if data.startswith(_PNG):
        import imagecodecs

        width, height = struct.unpack(">II", data[16:24])
        _refuse_slide(path, width, height)
        return np.asarray(imagecodecs.png_decode(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        import imagecodecs

        return np.asarray(imagecodecs.webp_decode(data))
    return _decode_pillow(path, palette=True)


def _decode_mask(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_TIFF):
        return _decode_tiff(path, colour=False)
    if head.startswith(_NPY):
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array
    return _decode_pillow(path, palette=False)


def _decode_tiff(path: Path, *, colour: bool) -> NDArray[Any]:
    """Decode the first page; segments beyond the file's end are refused: some codecs invent the rest."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        _refuse_slide(path, page.imagewidth, page.imagelength)
        size = path.stat().st_size
        segments = zip(page.dataoffsets, page.databytecounts, strict=True)
        end = max((offset + count for offset, count in segments), default=0)
        if end == 0 or end > size:
            raise InputError(f"{path}: truncated TIFF ({size} of {end} bytes); copy it again")
        if colour and page.photometric in _OTHER_COLOURS:
            name = tifffile.PHOTOMETRIC(page.photometric).name
            raise InputError(f"{path}: holds {name} colours; expected RGB: convert it")
        if page.compression not in _COMPRESSIONS:
            raise InputError(
                f"{path}: TIFF compression {int(page.compression)} is not read; save it with LZW"
            )
        if page.compression == _LZW and _pillow_reads(page):
            return _decode_pillow(path, palette=False)
        array: NDArray[Any] = page.asarray(maxworkers=1)
        return np.moveaxis(array, 0, -1) if page.axes == "SYX" else array


def _pillow_reads(page: Any) -> bool:
    """Whether Pillow reads this page too: its LZW decoder survives damage that crashes imagecodecs."""
    kind = (np.dtype(page.dtype), page.samplesperpixel, int(page.planarconfig))
    return kind in ((np.uint8, 1, 1), (np.uint8, 3, 1), (np.uint8, 4, 1), (np.uint16, 1, 1))


def _decode_pillow(path: Path, *, palette: bool) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        _refuse_slide(path, *image.size)
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            raise InputError(f"{path}: holds {image.mode} colours; expected RGB: convert it")
        if palette and image.mode == "P":
            return np.asarray(image.convert("RGB"))
        return np.asarray(image)


def _refuse_slide(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: is {width} x {height} px, too large for a frame; cut regions out of the slide"
        )


def _components(array: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """Label the 4-connected components of more than `MIN_NUCLEUS` px, from 1 in order of appearance."""
    from scipy import ndimage

    foreground = array != 0
    values = np.unique(array[foreground])
    if len(values) > 1:
        raise InputError(
            f"{path}: mask holds {len(values)} values beside 0, a binary mask one; give mask_kind: instances"
        )
    components, count = ndimage.label(foreground)
    areas = np.bincount(components.ravel(), minlength=count + 1)
    kept = areas > MIN_NUCLEUS
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    labels: NDArray[np.int32] = numbers[components]
    return labels
