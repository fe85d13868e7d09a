"""Several TileSets as one: tissue of many sources for one training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError


def merge_tilesets(
    parts: Sequence[TileSet],
    out: Path,
    *,
    patients: Collection[str] | None = None,
    unlabelled: bool = False,
) -> TileSet:
    """Write the tiles of several TileSets, in order, as one. A patient of one id is one patient.

    Parameters
    ----------
    parts
        Of one tile size, one µm/px and, but for ``unlabelled``, the same classes; a TileSet without classes
        joins any other, its tiles without label.
    out
        Directory to make.
    patients
        Whose tiles are written; None: everybody's.
    unlabelled
        Leave out classes, labels and ratings.

    Raises
    ------
    InputError
        None given, tiles or columns that do not fit together, a tile that is in two of them.
    """
    if not parts:
        raise InputError("merge: no TileSet given; give two or more")
    first, labelled = parts[0], next((part for part in parts if part.classes), parts[0])
    for part in parts:
        for name, wanted, found in (("tile size", first.size, part.size), ("µm/px", first.mpp, part.mpp)):
            if wanted != found:
                raise InputError(
                    f"{part.path}: {name} {found}, that of {first.path} is {wanted}; "
                    "import both with the same section `tiles`"
                )
        if not unlabelled and part.classes not in ([], labelled.classes):
            raise InputError(
                f"{part.path}: classes {', '.join(part.classes)}, those of {labelled.path} are "
                f"{', '.join(labelled.classes)}; import both with the same, or leave the labels out"
            )
    classes = [] if unlabelled else labelled.classes
    licences = dict.fromkeys(part.info["licence"] for part in parts if part.info["licence"])
    return write_tileset(
        out,
        _tiles(parts, patients, unlabelled=unlabelled),
        classes=classes,
        ordinal=labelled.ordinal and bool(classes),
        licence="; ".join(licences),
        extra=_columns(parts),
        provenance={"merged": [{"tileset": p.content_hash, **p.info["provenance"]} for p in parts]},
    )


def _columns(parts: Sequence[TileSet]) -> pa.Schema:
    """Return the extra columns of all; refuse one with two types."""
    known: dict[str, tuple[pa.Field, Path]] = {}
    for part in parts:
        for field in part.extra:
            first, path = known.setdefault(field.name, (field, part.path))
            if first.type != field.type:
                raise InputError(
                    f"{part.path}: column {field.name} holds {field.type}, in {path} {first.type}; "
                    "import one of them without it"
                )
    return pa.schema([field for field, _ in known.values()])


def _tiles(parts: Sequence[TileSet], patients: Collection[str] | None, *, unlabelled: bool) -> Iterator[Tile]:
    for part in parts:
        rows = None if patients is None else part.rows_of(patients).tolist()
        for tile in part.tiles(rows):
            yield replace(tile, label=None, ratings=()) if unlabelled else tile
