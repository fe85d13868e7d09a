"""The base of readers: settings, frames that they list, and tiles that an import writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from nucleosynth.config import Config
from nucleosynth.data.tile import Tile
from nucleosynth.data.tiling import Frame, TilesConfig, tile_frames
from nucleosynth.errors import InputError

Licence = Annotated[str, Field(description="licence of the data, kept in tileset.json")]


@dataclass(frozen=True, slots=True)
class FrameSet:
    """The result of a reader: frames not yet decoded, and the meaning of their labels.

    Attributes
    ----------
    classes, ordinal
        Names that the labels index, and whether they are ordered.
    provenance
        What else the TileSet records, such as the hash of a table.
    """

    frames: Sequence[Frame]
    classes: Sequence[str] = ()
    ordinal: bool = False
    provenance: Mapping[str, object] = field(default_factory=dict)


Prepare = Callable[[FrameSet], FrameSet]
"""Changes frames before they are decoded, such as `segmentation.frames.segmented_frames`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileStream:
    """Tiles to be written into a TileSet, and their metadata; see `FrameSet`."""

    tiles: Iterator[Tile]
    classes: Sequence[str] = ()
    ordinal: bool = False
    licence: str = ""
    provenance: Mapping[str, object] = field(default_factory=dict)


class ReaderConfig(Config):
    """Section ``data`` of a study: the base of all readers, which differ in ``reader``.

    A reader of images derives from `FrameReader` instead.
    """

    reader: str

    exact_nuclei: ClassVar[bool] = False
    """Whether every tile comes with its true nuclei, so that no segmenter has to find them."""

    @property
    def names_classes(self) -> bool:
        """Whether the tiles will have classes, according to the settings."""
        return True

    def tile_stream(
        self, tiles: TilesConfig, *, root: Path, workers: int | None = None, prepare: Prepare | None = None
    ) -> TileStream:
        """Return the tiles of the data set, read or drawn one by one.

        Parameters
        ----------
        tiles
            Section ``tiles`` of a study.
        root
            Folder that the paths in the settings are relative to.
        workers
            Threads that decode; the result does not depend on it.
        prepare
            Applied to the frames before they are decoded.

        Raises
        ------
        InputError
            Bad input, in one line that names the file or row.
        """
        raise NotImplementedError


class FrameReader(ReaderConfig):
    """Base of the readers that list images in files; each has its own ``read``."""

    licence: Licence = ""

    def read(self, root: Path) -> FrameSet:
        """List the frames below ``root`` without decoding them.

        Raises
        ------
        InputError
            What the reader finds wrong, in one line.
        """
        raise NotImplementedError

    def tile_stream(
        self, tiles: TilesConfig, *, root: Path, workers: int | None = None, prepare: Prepare | None = None
    ) -> TileStream:
        """Return the tiles cut from the frames, see `ReaderConfig.tile_stream`."""
        found = read_frames(self, root=root)
        found = found if prepare is None else prepare(found)
        return TileStream(
            tiles=tile_frames(found.frames, tiles, workers=workers),
            classes=found.classes,
            ordinal=found.ordinal,
            licence=self.licence,
            provenance={"frames": len(found.frames), **found.provenance},
        )


def read_frames(data: FrameReader, *, root: Path) -> FrameSet:
    """List the frames of a data set below ``root`` without decoding them.

    Raises
    ------
    InputError
        What the reader finds wrong, in one line; two frames of one id.
    """
    found = data.read(root)
    check_unique(found.frames)
    return found


def check_unique(frames: Sequence[Frame]) -> None:
    """Refuse two frames with one id; the message names both files."""
    known: dict[str, Frame] = {}
    for frame in frames:
        first = known.setdefault(frame.frame_id, frame)
        if first is not frame:
            raise InputError(
                f"{frame.path}: its id {frame.frame_id} is already that of {first.path}; "
                "remove the copy or give them different names"
            )
