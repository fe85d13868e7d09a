"""Readers, which turn the images of a laboratory into a TileSet.

Adding one is one module with its settings, a `FrameReader`, and one line in `READERS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import SerializeAsAny

from nucleosynth.config import ChosenByName, Config
from nucleosynth.data.readers.base import FrameReader, FrameSet, Prepare, ReaderConfig, read_frames
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.registry import Registry

READERS: Registry[type[ReaderConfig]] = Registry(
    "reader",
    {
        "table": "nucleosynth.data.readers.table:TableConfig",
        "paired": "nucleosynth.data.readers.paired:PairedConfig",
        "folder": "nucleosynth.data.readers.folder:FolderConfig",
        "mitos_atypia": "nucleosynth.data.readers.mitos_atypia:MitosAtypiaConfig",
        "pictures": "nucleosynth.data.readers.pictures:PicturesReader",
        "phantom": "nucleosynth.data.phantom.tissue:PhantomConfig",
    },
)

DataConfig = Annotated[SerializeAsAny[ReaderConfig], ChosenByName(READERS, key="reader")]


class ImportConfig(Config):
    """The settings of an import: the sections `data` and `tiles` of a study."""

    data: DataConfig
    tiles: TilesConfig = TilesConfig()


__all__ = [
    "READERS",
    "DataConfig",
    "FrameReader",
    "FrameSet",
    "ImportConfig",
    "ReaderConfig",
    "import_tiles",
    "read_frames",
]


def import_tiles(
    data: ReaderConfig,
    tiles: TilesConfig,
    *,
    root: Path,
    out: Path,
    workers: int | None = None,
    prepare: Prepare | None = None,
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
        Applied to the frames before they are decoded, such as `segmentation.frames.segmented_frames`.

    Raises
    ------
    InputError
        Bad input, in one line that names the file or row.
    """
    stream = data.tile_stream(tiles, root=root, workers=workers, prepare=prepare)
    return write_tileset(
        out,
        stream.tiles,
        classes=stream.classes,
        ordinal=stream.ordinal,
        licence=stream.licence,
        provenance={
            "data": data.model_dump(mode="json"),
            "tiles": tiles.model_dump(mode="json"),
            **stream.provenance,
        },
    )
