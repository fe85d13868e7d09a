"""Decoding of pictures by Pillow, and the size limit above which a picture is a slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 2**28  # 16,384 px squared; larger is a slide, not a frame


def decode_pillow(path: Path, *, palette: bool) -> NDArray[Any]:
    """Decode a picture of 8 or 16 bits; with ``palette`` colours by number become RGB."""
    from PIL import Image

    with Image.open(path) as image:
        refuse_slide(path, *image.size)
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            raise InputError(f"{path}: holds {image.mode} colours; expected RGB: convert it")
        if palette and image.mode == "P":
            return np.asarray(image.convert("RGB"))
        return np.asarray(image)


def refuse_slide(path: Path, width: int, height: int) -> None:
    """Refuse a picture that is too large to be decoded whole."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: is {width} x {height} px, too large for a frame; cut regions out of the slide"
        )
