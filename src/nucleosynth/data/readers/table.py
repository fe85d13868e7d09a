"""A table that names image files, with labels, patients and labels of raters, such as AMi-Br."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nucleosynth.data.images import MASK_SUFFIXES, MaskKind, read_pair
from nucleosynth.data.readers.base import FrameReader, FrameSet
from nucleosynth.data.readers.cells import Cells, Row, fill, read_cells, typed
from nucleosynth.data.readers.files import Finder
from nucleosynth.data.readers.labels import DatasetName, class_index, qualified
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.data.tiling import Frame, MppOrColumn
from nucleosynth.errors import InputError
from nucleosynth.files import file_hash

_Columns = Annotated[str, Field(description="a column, or a template such as {dataset}:{slide}")]


class TableConfig(FrameReader):
    """Section ``data`` with ``reader: table``. A template without braces is the name of a column."""

    reader: Literal["table"] = "table"
    table: str = Field(description="CSV or Parquet, below the data root")
    dataset: DatasetName | None = Field(
        None, description="prefix of ids without one; left out: the table's name"
    )
    images: str = Field(".", description="folder of the images, searched recursively")
    image: _Columns
    id: _Columns | None = Field(None, description="id of a row's image; left out: its file name")
    masks: str | None = Field(None, description="folder of the masks; left out: that of the images")
    mask: _Columns | None = None
    mask_kind: MaskKind | None = Field(None, description="`instances` or `binary`; needed with `mask`")
    classes: tuple[str, ...] = ()
    ordinal: bool = False
    label: str | None = Field(None, description="column of class names, true/false or indices; may be empty")
    patient: _Columns | None = Field(None, description="left out or empty: unknown, one per image")
    slide: _Columns | None = None
    scanner: _Columns | None = None
    raters: tuple[str, ...] = Field((), description="columns of the raters' labels, written like the label")
    mpp: MppOrColumn = Field(None, description="µm/px of the images: a number, or a column")
    extra: tuple[str, ...] = Field((), description="columns to keep in the TileSet")

    @model_validator(mode="after")
    def _consistent(self) -> TableConfig:
        if (self.label is not None or self.raters) and not self.classes:
            raise ValueError("`label` and `raters` need `classes`, their names in order")
        if (self.mask is None) != (self.mask_kind is None):
            raise ValueError("`mask` and `mask_kind` need each other")
        reserved = {"image", "mask", "has_mask", "sha256", *(field.name for field in fields(Tile))}
        for name in self.extra:
            if name in reserved:
                raise ValueError(f"extra column `{name}` is one of every TileSet; rename it in the table")
        return self

    @property
    def names_classes(self) -> bool:
        """Whether the tiles will have classes: those that are named."""
        return bool(self.classes)

    def read(self, root: Path) -> FrameSet:
        """List the frames, see `read_table`."""
        return read_table(self, root)


def read_table(config: TableConfig, root: Path) -> FrameSet:
    """List the images that a table names; check every cell that is used.

    Raises
    ------
    InputError
        Missing column (the nearest is named), missing image, label outside the classes, repeated image.
    """
    cells = read_cells(root / config.table)
    _require(cells, config)
    row_frame = partial(
        _frame,
        config=config,
        dataset=config.dataset or "-".join(cells.path.stem.replace(":", "-").split()),
        images=Finder(root / config.images),
        masks=Finder(root / (config.masks or config.images), MASK_SUFFIXES),
    )
    extra = _extra(cells, config.extra)
    frames = [
        row_frame(row, where=cells.where(n), extra={name: extra[name][n] for name in config.extra})
        for n, row in enumerate(cells.rows)
    ]
    return FrameSet(frames, config.classes, config.ordinal, {"table_sha256": file_hash(cells.path)})


def _require(cells: Cells, config: TableConfig) -> None:
    for key in ("image", "id", "mask", "label", "patient", "slide", "scanner"):
        template = getattr(config, key)
        if template is not None:
            cells.require(template, key=key)
    for key, names in (("raters", config.raters), ("extra", config.extra)):
        for name in names:
            cells.require(name, key=key)
    if isinstance(config.mpp, str):
        cells.require(config.mpp, key="mpp")


def _frame(
    row: Row,
    *,
    where: str,
    extra: dict[str, object],
    config: TableConfig,
    dataset: str,
    images: Finder,
    masks: Finder,
) -> Frame:
    name = fill(config.image, row)
    if name is None:
        raise InputError(f"{where}: names no image; fill `{config.image}` or remove the row")
    path = images.find(name, where=where)
    mask_name = fill(config.mask, row) if config.mask else None
    mask = masks.find(mask_name, where=where) if mask_name else None
    frame_id = _id(config.id, row, dataset) or _file_id(Path(name), dataset)
    patient = _id(config.patient, row, dataset)
    return Frame(
        frame_id=frame_id,
        patient_id=patient or frame_id,
        patient_known=patient is not None,
        slide_id=_id(config.slide, row, dataset),
        label=class_index(row[config.label], config.classes, where=where) if config.label else None,
        ratings=tuple(_ratings(row, config, where)),
        scanner=fill(config.scanner, row) if config.scanner else None,
        mpp=_mpp(row, config.mpp, where),
        path=path,
        annotated=mask is not None,
        read=partial(read_pair, path, mask, kind=config.mask_kind or "instances"),
        extra=extra,
    )


def _file_id(name: Path, dataset: str) -> str:
    """Return a file's name as id; of an absolute path only the last part, as ids must not name folders."""
    return qualified(dataset, name.stem if name.is_absolute() else name.with_suffix("").as_posix())


def _id(template: str | None, row: Row, dataset: str) -> str | None:
    name = fill(template, row) if template else None
    return qualified(dataset, name) if name else None


def _ratings(row: Row, config: TableConfig, where: str) -> Iterator[Rating]:
    """Return each rater's label as the index of its class; empty cells are left out."""
    for rater in config.raters:
        value = class_index(row[rater], config.classes, where=f"{where}, column {rater}")
        if value is not None:
            yield Rating(rater, "label", float(value))


def _mpp(row: Row, mpp: float | str | None, where: str) -> float | None:
    if not isinstance(mpp, str):
        return mpp
    cell = fill(mpp, row)
    try:
        return None if cell is None else float(cell)
    except ValueError:
        raise InputError(f"{where}: mpp `{cell}` in column {mpp} is not a number; give µm/px") from None


def _extra(cells: Cells, names: Sequence[str]) -> dict[str, list[object]]:
    return {name: typed([row[name] for row in cells.rows]) for name in names}
