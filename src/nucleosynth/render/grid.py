"""Tiles in a grid as one picture, and pictures as files or data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.files import partial

Pixels = NDArray[np.uint8]


def upscale(array: NDArray[np.generic], scale: int) -> NDArray[np.generic]:
    """Repeat every pixel ``scale`` times along axes 1 and 2 of (n, h, w, ...): no new values arise."""
    return array if scale == 1 else array.repeat(scale, axis=1).repeat(scale, axis=2)


def grid(images: Pixels, *, columns: int, scale: int = 1, pad: int = 2, background: int = 255) -> Pixels:
    """Lay tiles out row by row.

    Parameters
    ----------
    images : (n, h, w, c) uint8
        Tiles of one size, c = 3 (RGB) or 4 (RGBA), n >= 1.
    columns : int
        Tiles per row; a picture of fewer tiles is only as wide as these.
    scale : int
        Whole-number enlargement of each tile, nearest neighbour.
    pad : int
        Gap between tiles in px of the result; there is none around the outside.
    background : int
        Value of gaps and empty cells, 0 to 255, in every channel.

    Returns
    -------
    (rows*h*scale + (rows-1)*pad, cols*w*scale + (cols-1)*pad, c) uint8

    Raises
    ------
    InputError
        If there is no tile, the shape is another one, or a size is not positive.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or images.dtype != np.uint8:
        raise InputError(f"grid: expected uint8 tiles (n, h, w, 3 or 4), got {images.dtype} {images.shape}")
    if len(images) == 0:
        raise InputError("grid: no tiles; give at least one")
    if columns < 1 or scale < 1 or pad < 0:
        raise InputError(f"grid: columns and scale must be >= 1, pad >= 0; got {columns}, {scale}, {pad}")
    n, height, width, channels = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    step_y, step_x = height * scale + pad, width * scale + pad
    cells = np.full((rows * columns, step_y, step_x, channels), background, np.uint8)
    cells[:n, : height * scale, : width * scale] = upscale(images, scale)
    picture = cells.reshape(rows, columns, step_y, step_x, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * step_y, columns * step_x, channels)
    return np.ascontiguousarray(picture[: rows * step_y - pad, : columns * step_x - pad])


def png_bytes(image: Pixels) -> bytes:
    """Return an (h, w, 3 or 4) uint8 picture as the bytes of a lossless PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image, dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(path: Path, image: Pixels) -> Path:
    """Write an (h, w, 3 or 4) uint8 picture as PNG: the file appears whole or not at all.

    Raises
    ------
    WorkError
        If the disk is full.
    """
    content = png_bytes(image)
    with partial(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def data_uri(content: bytes, media_type: str) -> str:
    """Return bytes as a ``data:`` URI, so that a page includes its pictures."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def png_data_uri(image: Pixels) -> str:
    """Return an (h, w, 3 or 4) uint8 picture as a PNG ``data:`` URI."""
    return data_uri(png_bytes(image), "image/png")
