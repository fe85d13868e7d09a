"""Write a TileSet as plain files for other programs: PNG images, TIFF label masks, one CSV table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial as bind
from pathlib import Path
from typing import Literal

from nucleosynth.data.prefetch import ordered_map
from nucleosynth.data.readers.folder import UNLABELLED
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import is_free, partial

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def export_tiles(tiles: TileSet, out: Path, *, layout: Literal["images", "imagefolder"] = "images") -> None:
    """Write tiles as files: ``out`` appears whole or not at all.

    Parameters
    ----------
    tiles
        What to write.
    out
        New directory with ``images/NAME.png`` (RGB uint8), ``masks/NAME.tif`` (uint16 instance labels, for
        the tiles that have one) and ``tiles.csv``: the file names ``image`` and ``mask``, the class name
        ``class``, then every column of the table; lists such as ``ratings`` as JSON.
    layout
        ``images``: flat; ``imagefolder``: a folder per class below ``images`` and ``masks``, tiles without a
        label in ``unlabelled``. The readers ``table`` and ``folder`` read them back.

    Raises
    ------
    InputError
        ``out`` exists and is not an empty directory.
    """
    if not is_free(out):
        raise InputError(f"{out}: already exists; choose a new directory")
    names = list(_names(tiles, layout))
    with partial(out) as building:
        for folder in ("images", "masks") if tiles.has_mask.any() else ("images",):
            for parent in {Path(name).parent for name in names}:
                (building / folder / parent).mkdir(parents=True, exist_ok=True)
        for _ in ordered_map(bind(_write_pixels, tiles, names, building), range(len(tiles))):
            pass
        _write_table(tiles, names, building / "tiles.csv")


def _names(tiles: TileSet, layout: Literal["images", "imagefolder"]) -> Iterator[str]:
    """Yield a file name per tile, without suffix: its id, and its row if two ids are equal as file names."""
    folders = _folders(tiles.classes) if layout == "imagefolder" else []
    used: set[str] = set()
    for row, tile_id in enumerate(tiles.column("tile_id")):
        name = _safe(tile_id)
        if name.casefold() in used:
            name = f"{name}-row{row}"
        used.add(name.casefold())
        label = int(tiles.labels[row])
        yield f"{folders[label]}/{name}" if folders else name


def _folders(classes: Sequence[str]) -> list[str]:
    """Return a folder per class, and last, where label -1 points, that of tiles without one."""
    folders = [*(_safe(name) for name in classes), UNLABELLED]
    if len({name.casefold() for name in folders}) < len(folders):
        raise InputError(
            f"the classes {', '.join(classes)} have no folder names of their own; export with layout images"
        )
    return folders


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).strip(".") or "_"


def _write_pixels(tiles: TileSet, names: Sequence[str], directory: Path, row: int) -> None:
    import imagecodecs
    import tifffile

    image = imagecodecs.png_encode(tiles.images[row], level=3)
    (directory / "images" / f"{names[row]}.png").write_bytes(image)
    if tiles.masks is not None and tiles.has_mask[row]:
        path = directory / "masks" / f"{names[row]}.tif"
        tifffile.imwrite(path, tiles.masks[row], compression="zlib", photometric="minisblack")


def _write_table(tiles: TileSet, names: Sequence[str], path: Path) -> None:
    columns = tiles.table.column_names
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "mask", "class", *columns])
        row = 0
        for batch in tiles.table.to_batches(max_chunksize=4096):
            for record in batch.to_pylist():
                label = record["label"]
                mask = f"{names[row]}.tif" if tiles.has_mask[row] else ""
                name = "" if label is None else tiles.classes[label]
                writer.writerow([f"{names[row]}.png", mask, name, *(_cell(record[c]) for c in columns)])
                row += 1


def _cell(value: object) -> object:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
