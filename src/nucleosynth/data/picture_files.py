"""Images and masks as files that other programs open: a folder of PNG or TIFF, one file, or one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import as_choice, as_flag, as_int, as_path
from nucleosynth.data.arrays import as_images, as_masks
from nucleosynth.data.parquet import encode
from nucleosynth.errors import InputError
from nucleosynth.files import partial
from nucleosynth.render.grid import grid, save_png
from nucleosynth.render.outlines import draw_outlines

PNG, TIFF = (".png",), (".tif", ".tiff")
LARGEST = 2**16 - 1
"""Highest label that a 16-bit file holds."""
GRID_TILE = 128
"""px that small tiles are enlarged to in a grid, by a whole number."""


def save_images(images: Any, out: Path | str, *, overwrite: bool = False) -> Path:
    """Write images as PNG files, whole or not at all.

    Parameters
    ----------
    images : (n, h, w, 3)
        As `nucleosynth.data.arrays.as_images` takes them.
    out
        A folder, which gets ``0000.png``, ``0001.png``, ...; or a name that ends in ``.png``, for one image.
    overwrite
        Replace an earlier file, or a folder that holds nothing but images.

    Returns
    -------
    The path that was written.

    Raises
    ------
    InputError
        No images, several images for one file, or ``out`` exists.
    """
    pixels = as_images(images)
    return _save(list(pixels), out, dict.fromkeys(PNG, _png), "png", "images", overwrite)


def save_masks(masks: Any, out: Path | str, *, format: str = "tiff", overwrite: bool = False) -> Path:  # noqa: A002
    """Write label images as 16-bit files, whole or not at all.

    Parameters
    ----------
    masks : (n, h, w) integer or bool
        Labels up to 65,535, 0 = background; as `nucleosynth.data.arrays.as_masks` takes them.
    out
        A folder, which gets ``0000.tif``, ``0001.tif``, ...; or a name that ends in ``.tif``, ``.tiff`` or
        ``.png``, for one mask.
    format
        ``tiff`` or ``png``: of the files in a folder.
    overwrite
        Replace an earlier file, or a folder that holds nothing but images.

    Returns
    -------
    The path that was written.

    Raises
    ------
    InputError
        No masks, labels above 65,535, several masks for one file, or ``out`` exists.
    """
    labels = as_masks(masks)
    if labels.size and labels.max() > LARGEST:
        raise InputError(f"masks hold the label {labels.max()}; 16-bit files hold labels up to {LARGEST}")
    kind = as_choice(format, "format", ("tiff", "png"))
    writers = {**dict.fromkeys(PNG, _png), **dict.fromkeys(TIFF, _tiff)}
    return _save(list(labels.astype(np.uint16)), out, writers, kind, "masks", overwrite)


def save_grid(
    images: Any,
    out: Path | str,
    *,
    masks: Any = None,
    columns: int = 8,
    scale: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write images side by side as one PNG, whole or not at all.

    Parameters
    ----------
    images : (n, h, w, 3)
        As `nucleosynth.data.arrays.as_images` takes them.
    out
        A name that ends in ``.png``.
    masks : (n, h, w), optional
        Nuclei to outline.
    columns
        Images per row.
    scale
        Whole-number enlargement; None: small images become about 128 px wide.
    overwrite
        Replace an earlier file.

    Returns
    -------
    The path that was written.

    Raises
    ------
    InputError
        No images, masks of another number or size, or ``out`` exists.
    """
    pixels = as_images(images)
    path = as_path(out, "out")
    across = as_int(columns, "columns", least=1, most=1000)
    if not len(pixels) or 0 in pixels.shape:
        raise InputError("images are empty; give at least one")
    factor = (
        max(1, round(GRID_TILE / pixels.shape[2]))
        if scale is None
        else as_int(scale, "scale", least=1, most=64)
    )
    if path.suffix.lower() not in PNG:
        raise InputError(f"{path}: a grid is one picture; give a name that ends in .png")
    _refuse_existing(path, as_flag(overwrite, "overwrite"))
    if masks is not None:
        outlined = as_masks(masks, count=len(pixels), size=(pixels.shape[1], pixels.shape[2]))
        pixels, factor = draw_outlines(pixels, outlined.astype(np.int64), scale=factor), 1
    return save_png(path, grid(pixels, columns=across, scale=factor))


def _save(
    pixels: list[NDArray[Any]],
    out: Path | str,
    writers: Mapping[str, Callable[[Path, NDArray[Any]], None]],
    kind: str,
    what: str,
    overwrite: bool,
) -> Path:
    path = as_path(out, "out")
    if not pixels or 0 in pixels[0].shape:
        raise InputError(f"{what} are empty; give at least one")
    suffix = path.suffix.lower()
    if suffix in (*PNG, *TIFF, ".jpg", ".jpeg", ".bmp", ".npy") and suffix not in writers:
        raise InputError(f"{path}: {what} are written as {', '.join(writers)}; choose one, or give a folder")
    if suffix in writers and len(pixels) > 1:
        raise InputError(f"{path}: is one file for {len(pixels)} {what}; give a folder")
    _refuse_existing(path, as_flag(overwrite, "overwrite"))
    with partial(path) as building:
        if suffix in writers:
            writers[suffix](building, pixels[0])
            return path
        building.mkdir()
        ending = {"png": ".png", "tiff": ".tif"}[kind]
        digits = max(4, len(str(len(pixels) - 1)))
        for number, one in enumerate(pixels):
            writers[ending](building / f"{number:0{digits}}{ending}", one)
    return path


def _refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to write over what is there; over a folder of other things in any case."""
    if path.is_dir():
        inside = list(path.iterdir())
        images = all(one.is_file() and one.suffix.lower() in (*PNG, *TIFF) for one in inside)
        if inside and not (overwrite and images):
            what = "a folder that holds files" if images else "a folder that holds other things than images"
            raise InputError(f"{path}: is {what}; choose a new name{', or overwrite=True' if images else ''}")
    elif path.exists() and not overwrite:
        raise InputError(f"{path}: already exists; choose a new name, or overwrite=True")


def _png(path: Path, pixels: NDArray[Any]) -> None:
    path.write_bytes(encode(pixels))


def _tiff(path: Path, pixels: NDArray[Any]) -> None:
    import tifffile

    tifffile.imwrite(path, pixels, compression="zlib", photometric="minisblack")
