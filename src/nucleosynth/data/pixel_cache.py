"""The uint8 memory-mapped cache of pixels for training: built once per content hash.

Decoding PNG costs; a memory map does not (about 0.3-1 k tiles/s against 30-90 k/s on one core).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nucleosynth.data import parquet as shards
from nucleosynth.errors import InputError
from nucleosynth.files import partial, user_folder

Pixels = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16] | None]


def open_pixels(path: Path, content_hash: str, info: Mapping[str, Any]) -> Pixels:
    """Return the images (n, h, w, 3) uint8 and masks (n, h, w) uint16 or None, as read-only memory maps."""
    directory = cache_root() / content_hash[:24]
    if not directory.exists():
        _build(path, directory, info)
    images = np.load(directory / "images.npy", mmap_mode="r")
    masks = np.load(directory / "masks.npy", mmap_mode="r") if info["masks"] else None
    return images, masks


def some_pixels(path: Path, content_hash: str, rows: npt.NDArray[np.int64]) -> Pixels:
    """Return the images and masks of a few rows, decoded on their own where the cache was not built yet.

    Parameters
    ----------
    rows : (k,)
        k >= 1, in ascending order.

    Returns
    -------
    images (k, h, w, 3) uint8, and masks (k, h, w) uint16, empty where a tile has none; None where none has.
    """
    directory = cache_root() / content_hash[:24]
    if directory.exists():
        stored = directory / "masks.npy"
        masks = np.asarray(np.load(stored, mmap_mode="r")[rows]) if stored.exists() else None
        return np.asarray(np.load(directory / "images.npy", mmap_mode="r")[rows]), masks
    decoded = list(_decoded(path, rows.tolist()))
    if len(decoded) != len(rows):
        raise InputError(f"{path}: {len(decoded)} of {len(rows)} tiles found; a shard is missing")
    images = np.stack([image for image, _ in decoded])
    if all(mask is None for _, mask in decoded):
        return images, None
    blank = np.zeros(images.shape[1:3], np.uint16)
    return images, np.stack([blank if mask is None else mask for _, mask in decoded])


def _decoded(
    path: Path, rows: Sequence[int]
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16] | None]]:
    """Yield ``(image, mask or None)`` of rows in ascending order; reads the row groups of these alone."""
    first = 0
    for shard in shards.shard_paths(path):
        try:
            file = pq.ParquetFile(shard)
            for group in range(file.num_row_groups):
                after = first + file.metadata.row_group(group).num_rows
                here = [row - first for row in rows if first <= row < after]
                if here:
                    table = file.read_row_group(group, columns=list(shards.PIXELS)).take(here)
                    for row in table.to_pylist():
                        mask = row["mask"] and shards.decode(row["mask"]["bytes"]).astype(np.uint16)
                        yield shards.decode(row["image"]["bytes"]), mask
                first = after
        except (pa.ArrowException, OSError, RuntimeError, ValueError, TypeError) as error:
            raise shards.damaged(shard, error) from None


def cache_root() -> Path:
    """Return the folder of cached pixels: below ``NUCLEOSYNTH_CACHE``, or in the user's caches."""
    return user_folder("CACHE", ".cache") / "tiles"


def _build(path: Path, directory: Path, info: Mapping[str, Any]) -> None:
    count, (height, width) = info["count"], info["size"]
    with partial(directory) as building:
        building.mkdir()
        images = _create(building / "images.npy", np.uint8, (count, height, width, 3))
        masks = _create(building / "masks.npy", np.uint16, (count, height, width)) if info["masks"] else None
        row = -1
        for row, (name, image, mask) in enumerate(shards.read_pixels(path)):
            if row >= count or image.shape != (height, width, 3):
                raise InputError(f"{path}: tile {name} does not fit tileset.json; import again")
            images[row] = image
            if masks is not None and mask is not None:
                masks[row] = mask
        if row + 1 != count:
            raise InputError(
                f"{path}: {row + 1} tiles where tileset.json says {count}; a shard is missing, import again"
            )
        images.flush()
        if masks is not None:
            masks.flush()


def _create(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
