"""Readers turn what a laboratory has into a TileSet: one configuration model and one function each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nucleosynth.config import Config
from nucleosynth.data.phantom.tissue import CLASSES as PHANTOM_CLASSES
from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.data.readers.folder import FolderConfig, read_folder
from nucleosynth.data.readers.mitos_atypia import MitosAtypiaConfig, read_mitos_atypia
from nucleosynth.data.readers.paired import PairedConfig, read_paired
from nucleosynth.data.readers.pictures import PicturesReader, read_pictures
from nucleosynth.data.readers.source import Source, check_unique
from nucleosynth.data.readers.table import TableConfig, read_table
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.data.tiling import TilesConfig, tile_frames
from nucleosynth.errors import InputError

FrameConfig = TableConfig | PairedConfig | FolderConfig | MitosAtypiaConfig | PicturesReader
DataConfig = Annotated[FrameConfig | PhantomConfig, Field(discriminator="reader")]

PHANTOM_MPP = 0.5


class ImportConfig(Config):
    """What an import needs: the sections `data` and `tiles` of a study."""

    data: DataConfig
    tiles: TilesConfig = TilesConfig()


__all__ = [
    "DataConfig",
    "FolderConfig",
    "ImportConfig",
    "MitosAtypiaConfig",
    "PairedConfig",
    "PhantomConfig",
    "PicturesReader",
    "Source",
    "TableConfig",
    "import_tiles",
    "read_source",
]


def read_source(data: FrameConfig, *, root: Path) -> Source:
    """List the frames of a data set below ``root`` without decoding them.

    Raises
    ------
    InputError
        What the reader finds wrong, in one line; two frames of one id.
    """
    match data:
        case TableConfig():
            source = read_table(data, root)
        case PairedConfig():
            source = read_paired(data, root)
        case FolderConfig():
            source = read_folder(data, root)
        case MitosAtypiaConfig():
            source = read_mitos_atypia(data, root)
        case PicturesReader():
            source = read_pictures(data, root)
    check_unique(source.frames)
    return source


def import_tiles(
    data: FrameConfig | PhantomConfig,
    tiles: TilesConfig,
    *,
    root: Path,
    out: Path,
    workers: int | None = None,
    prepare: Callable[[Source], Source] | None = None,
) -> TileSet:
    """Read a data set, cut it into tiles and write them as a TileSet.

    Parameters
    ----------
    data, tiles
        Sections ``data`` and ``tiles`` of a study.
    root
        Folder that the paths in ``data`` are relative to. It is no setting and is not recorded.
    out
        Directory of the TileSet; it appears whole or not at all.
    workers
        Threads that decode; left out: as many as processors, at most 8. The result does not depend on it.
    prepare
        Applied to the frames before they are read, such as `nuclei.frames.segmented_source`.

    Raises
    ------
    InputError
        Bad input, in one line that names the file or row.
    """
    provenance = {"data": data.model_dump(mode="json"), "tiles": tiles.model_dump(mode="json")}
    if isinstance(data, PhantomConfig):
        if prepare is not None:
            raise InputError("data: phantom tissue has exact nuclei already; import it without a segmenter")
        return _import_phantom(data, tiles, out=out, provenance=provenance)
    source = read_source(data, root=root)
    source = source if prepare is None else prepare(source)
    return write_tileset(
        out,
        tile_frames(source.frames, tiles, workers=workers),
        classes=source.classes,
        ordinal=source.ordinal,
        licence=data.licence,
        provenance={**provenance, "frames": len(source.frames), **source.provenance},
    )


def _import_phantom(
    data: PhantomConfig, tiles: TilesConfig, *, out: Path, provenance: dict[str, Any]
) -> TileSet:
    if tiles.mpp == "unknown":
        raise InputError("tiles.mpp: phantom tissue has a known scale; give µm/px, or leave it out for 0.5")
    drawn = phantom_tiles(data, size=tiles.size, mpp=tiles.mpp or PHANTOM_MPP)
    return write_tileset(out, drawn, classes=PHANTOM_CLASSES, ordinal=True, provenance=provenance)
