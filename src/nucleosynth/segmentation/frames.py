"""Nuclei found in whole frames before tiles are cut, so that no tile's border decides where one ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nucleosynth.arguments import as_path, as_text
from nucleosynth.config import parse
from nucleosynth.data import readers
from nucleosynth.data.readers import DataConfig, ImportConfig
from nucleosynth.data.readers.source import Source
from nucleosynth.data.tileset import TileSet
from nucleosynth.data.tiling import Frame, Pixels, TilesConfig
from nucleosynth.errors import InputError
from nucleosynth.segmentation.segmenter import NONE, Segmenter, get_segmenter


def import_tiles(
    data: DataConfig | Mapping[str, Any],
    tiles: TilesConfig | Mapping[str, Any] | None = None,
    *,
    out: Path | str,
    root: Path | str | None = None,
    nuclei: str | None = None,
) -> TileSet:
    """Read a data set, cut it into tiles and write them as a TileSet.

    Parameters
    ----------
    data
        Section ``data`` of a study: which reader, where the images are. As a mapping, for example
        ``{"reader": "folder", "dataset": "lab", "images": "slides", "mpp": 0.25}``.
    tiles
        Section ``tiles`` of a study: ``size`` in px, ``mpp`` in µm/px; None: its defaults.
    out
        Directory of the TileSet; it appears whole or not at all.
    root
        Folder that the paths in ``data`` are relative to; None: ``NUCLEOSYNTH_DATA``, else where you are.
    nuclei
        Segmenter that finds the nuclei of frames that lack them, such as ``embedded``; None: none.

    Raises
    ------
    InputError
        Bad input, in one line that names the file, row or setting.
    """
    sections = {"data": data, **({} if tiles is None else {"tiles": tiles})}
    config = parse(ImportConfig, sections, source="import_tiles")
    base = as_path(os.environ.get("NUCLEOSYNTH_DATA") or "." if root is None else root, "root")
    target = as_path(out, "out")
    prepare = None
    if nuclei is not None:
        finder = get_segmenter(as_text(nuclei, "nuclei", such_as="embedded"))
        prepare = partial(segmented_source, segmenter=finder, required=True)
    return readers.import_tiles(config.data, config.tiles, root=base, out=target, prepare=prepare)


def import_with_nuclei(
    data: DataConfig, tiles: TilesConfig, segmenter: str, *, root: Path, out: Path
) -> TileSet:
    """Import a data set, nuclei found by a segmenter in frames that lack them; by `NONE` in none.

    Phantom tissue has its nuclei. Errors and arguments are those of `import_tiles` and `segmented_source`.
    """
    prepare = None
    if segmenter != NONE and data.reader != "phantom":
        prepare = partial(segmented_source, segmenter=get_segmenter(segmenter))
    return readers.import_tiles(data, tiles, root=root, out=out, prepare=prepare)


def segmented_source(source: Source, *, segmenter: Segmenter, required: bool = False) -> Source:
    """Return a data set whose frames, when read, carry the nuclei that a segmenter finds.

    Annotated nuclei are not replaced: only frames that lack them are segmented. If there is any, the
    provenance remembers the segmenter, so that nobody lets it judge its own masks; else the data set is
    returned as it is.

    Parameters
    ----------
    source
        Frames not yet decoded.
    segmenter
        Takes whole frames; the learned ones do so in bounded memory.
    required
        Refuse a data set in which there is nothing to do.

    Raises
    ------
    InputError
        A frame without nuclei and of unknown scale; with ``required``, nuclei in every frame.
    """
    if all(frame.annotated for frame in source.frames):
        if required and source.frames:
            raise InputError(
                f"{source.frames[0].path}: carries nuclei already, like every frame; leave the segmenter out"
            )
        return source
    maker = {"name": segmenter.name, "weights_hash": segmenter.weights_hash}
    return replace(
        source,
        frames=[frame if frame.annotated else _segmented(frame, segmenter) for frame in source.frames],
        provenance={**source.provenance, "masks": maker},
    )


def _segmented(frame: Frame, segmenter: Segmenter) -> Frame:
    if frame.mpp is None:
        raise InputError(
            f"{frame.path}: mpp missing; nuclei are found by size, give data.mpp in µm/px or find none"
        )
    return replace(frame, annotated=True, read=partial(_read, frame, frame.mpp, segmenter))


def _read(frame: Frame, mpp: float, segmenter: Segmenter) -> Pixels:
    pixels, _ = frame.read()
    return pixels, segmenter(pixels[None], mpp)[0]
