"""The TileSet: one directory of Parquet shards and a ``tileset.json``, the form in which tiles travel.

Shards declare Hugging Face Image features, so ``datasets.load_dataset("parquet", ...)`` opens them as they
are. Pixels are read from a memory-mapped cache that is built once per content hash (`cache.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nucleosynth.arguments import as_names, as_path, shown
from nucleosynth.data import parquet as shards
from nucleosynth.data import pixel_cache as cache
from nucleosynth.data.selection import TileSelection
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.errors import InputError
from nucleosynth.files import disk_errors, is_free, partial, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


def write_tileset(
    out: Path,
    tiles: Iterable[Tile],
    *,
    classes: Sequence[str],
    ordinal: bool = False,
    licence: str = "",
    provenance: Mapping[str, object] | None = None,
    extra: pa.Schema | None = None,
) -> TileSet:
    """Stream tiles into a new TileSet, which appears whole or not at all.

    Parameters
    ----------
    out
        Directory to make; it must not exist, or be empty.
    tiles
        At least one tile, all of one size.
    classes
        Names that ``label`` indexes; empty for tiles without labels.
    ordinal
        Whether the classes are ordered, such as grades.
    extra
        The extra columns; None: those of the first tiles.

    Raises
    ------
    InputError
        No tile, tiles of different size, repeated ids, a label outside the classes.
    """
    if not is_free(out):
        raise InputError(f"{out}: already exists; rows are immutable, choose a new directory")
    with partial(out) as building, disk_errors(out):
        building.mkdir()
        writer = shards.ShardWriter(building, classes=classes, extra=extra)
        for tile in tiles:
            writer.add(tile)
        summary = writer.close()
        info = {
            "schema": SCHEMA_VERSION,
            "classes": list(classes),
            "ordinal": ordinal,
            "licence": licence,
            "provenance": dict(provenance or {}),
            **summary,
        }
        write_json(building / "tileset.json", info)
    return TileSet.open(out)


class TileSet:
    """Read access to a TileSet; made by `TileSet.open`."""

    def __init__(self, path: Path, info: Mapping[str, Any]) -> None:
        self.path = path
        self.info = dict(info)
        self.classes: list[str] = list(info["classes"])
        self.ordinal: bool = bool(info["ordinal"])
        self.content_hash: str = info["content_hash"]
        self.size: tuple[int, int] = (info["size"][0], info["size"][1])
        self.mpp: float | None = info["mpp"]

    @classmethod
    def open(cls, path: Path | str) -> TileSet:
        """Open a TileSet directory.

        Raises
        ------
        InputError
            Not a TileSet, or one written by a newer version of nucleosynth.
        """
        path = as_path(path, "path")
        if not (path / "tileset.json").is_file():
            raise InputError(
                f"{path}: not a TileSet (no tileset.json); make one with `nucleosynth data import`"
            )
        info = read_json(path / "tileset.json")
        version = info.get("schema") if isinstance(info, dict) else None
        if not isinstance(version, int):
            raise InputError(
                f"{path / 'tileset.json'}: `schema` is missing; the file is damaged, import again"
            )
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path}: TileSet schema {version} is newer than {SCHEMA_VERSION}, the newest this version "
                "reads; upgrade nucleosynth"
            )
        return cls(path, info)

    def __len__(self) -> int:
        return int(self.info["count"])

    def __iter__(self) -> Iterator[Tile]:
        return self.tiles()

    @overload
    def __getitem__(self, key: int) -> Tile: ...
    @overload
    def __getitem__(self, key: slice | npt.ArrayLike) -> TileSelection: ...
    def __getitem__(self, key: Any) -> Tile | TileSelection:
        """Return one tile, or a view of some: by number, slice, list or array of numbers or booleans."""
        chosen: Tile | TileSelection = self._every[key]
        return chosen

    def __repr__(self) -> str:
        height, width = self.size
        return (
            f"TileSet({str(self.path)!r}, {len(self)} tiles of {height}x{width} px, classes={self.classes})"
        )

    @property
    def scale(self) -> float:
        """µm/px, for what measures or finds nuclei.

        Raises
        ------
        InputError
            It is unknown.
        """
        if self.mpp is None:
            raise InputError(
                f"{self.path}: its µm/px is unknown; nuclei are found and sized in µm, import it with `mpp`"
            )
        return self.mpp

    @cached_property
    def table(self) -> pa.Table:
        """All columns but the pixels."""
        return shards.read_table(self.path)

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """(n, h, w, 3) uint8, read-only memory map."""
        return cache.open_pixels(self.path, self.content_hash, self.info)[0]

    @cached_property
    def masks(self) -> npt.NDArray[np.uint16] | None:
        """(n, h, w) uint16 read-only memory map, or None where no tile has a mask."""
        return cache.open_pixels(self.path, self.content_hash, self.info)[1]

    @cached_property
    def has_mask(self) -> npt.NDArray[np.bool_]:
        """(n,) bool: which tiles carry a mask (an all-zero mask is one)."""
        return np.asarray(self.table.column("has_mask").to_numpy(zero_copy_only=False), dtype=bool)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) int64 indices into ``classes``; -1 = unlabelled."""
        return np.asarray(self.table.column("label").fill_null(-1).to_numpy(), dtype=np.int64)

    @property
    def class_names(self) -> npt.NDArray[np.str_]:
        """(n,) name of the class of each tile, empty where unlabelled."""
        return self._every.class_names

    @cached_property
    def patients(self) -> npt.NDArray[np.str_]:
        """(n,) patient ids, empty where unknown; of a synthetic tile its donor's."""
        own, donor = self.column("patient_id"), self.column("donor_patient_id")
        return np.array([p or d or "" for p, d in zip(own, donor, strict=True)], dtype=np.str_)

    @cached_property
    def slides(self) -> npt.NDArray[np.str_]:
        """(n,) slide ids, empty where unknown."""
        return np.array([slide or "" for slide in self.column("slide_id")], dtype=np.str_)

    def column(self, name: str) -> list[Any]:
        """Return one column as Python values."""
        if not isinstance(name, str) or name not in self.table.column_names:
            wanted, known = name if isinstance(name, str) else shown(name), ", ".join(self.table.column_names)
            raise InputError(f"{self.path}: no column `{wanted}`; it has {known}")
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    @property
    def extra(self) -> pa.Schema:
        """The columns that not every TileSet has."""
        return pa.schema([field for field in self.table.schema if field.name not in shards.ALL_COLUMNS])

    def rows_of(self, patients: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of some patients, in order; of unknown patients there is none."""
        names = as_names(patients, "patients", such_as="lab:p1", least=0)
        return np.flatnonzero(np.isin(self.patients, sorted(set(names)))).astype(np.int64)

    def tiles(self, rows: Iterable[int] | None = None) -> Iterator[Tile]:
        """Iterate over tiles as objects (slow; learners use ``images`` and ``labels``)."""
        return self._read(range(len(self)) if rows is None else self._every.pick(rows).rows.tolist())

    def _read(self, rows: Iterable[int]) -> Iterator[Tile]:
        known = [name for name in shards.TILE_COLUMNS if name not in ("ratings",)]
        extra = self.extra.names
        for row in rows:
            record = self.table.slice(row, 1).to_pylist()[0]
            mask = self.masks[row] if self.masks is not None and self.has_mask[row] else None
            yield Tile(
                image=self.images[row],
                mask=mask,
                ratings=tuple(Rating(**rating) for rating in record["ratings"] or ()),
                extra={name: record[name] for name in extra},
                **{name: record[name] for name in known},
            )

    def to_pandas(self) -> pd.DataFrame:
        """Return all columns but the pixels as a table; see `TileSelection.to_pandas`."""
        return self._every.to_pandas()

    def _repr_html_(self) -> str:
        """Show counts and some tiles in a notebook."""
        return self._every._html(f"TileSet {self.path}")

    @property
    def _every(self) -> TileSelection:
        return TileSelection(self, np.arange(len(self), dtype=np.int64))

    def verify(self) -> None:
        """Decode every tile and compare hashes; raise InputError naming the damaged shard or row."""
        shards.verify(self.path, self.info)
