"""Decoding of TIFF: the library for each kind of file, and the files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.data.pillow import decode_pillow, refuse_slide
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# TIFF compressions that scanners and programs write: none, LZW, JPEG, Deflate, PackBits, JPEG 2000, LZMA,
# Zstandard, WebP. Some decoders of rarer ones crash the process on damaged files.
_COMPRESSIONS = (1, 5, 7, 8, 32773, 32946, 33003, 33005, 34712, 34925, 50000, 50001)
_LZW = 5
_OTHER_COLOURS = (3, 5, 8, 9, 10)  # TIFF photometric: palette, CMYK and the L*a*b* kinds


def decode_tiff(path: Path, *, colour: bool) -> NDArray[Any]:
    """Decode the first page; segments beyond the file's end are refused: some codecs invent the rest."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        refuse_slide(path, page.imagewidth, page.imagelength)
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
            return decode_pillow(path, palette=False)
        array: NDArray[Any] = page.asarray(maxworkers=1)
        return np.moveaxis(array, 0, -1) if page.axes == "SYX" else array


def _pillow_reads(page: Any) -> bool:
    """Return whether Pillow reads this page too: its LZW decoder survives damage that crashes imagecodecs."""
    kind = (np.dtype(page.dtype), page.samplesperpixel, int(page.planarconfig))
    return kind in ((np.uint8, 1, 1), (np.uint8, 3, 1), (np.uint8, 4, 1), (np.uint16, 1, 1))
