"""Segmentation of whole frames before tiles are cut, so that tile borders do not cut nuclei."""

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
from nucleosynth.data.readers import DataConfig, FrameSet, ImportConfig, ReaderConfig
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
        prepare = partial(segmented_frames, segmenter=finder, required=True)
    return readers.import_tiles(config.data, config.tiles, root=base, out=target, prepare=prepare)


def import_with_nuclei(
    data: ReaderConfig, tiles: TilesConfig, segmenter: str, *, root: Path, out: Path
) -> TileSet:
    """Import a data set and segment frames without nuclei; with `NONE` no frame is segmented.

    Tiles with exact nuclei keep them. Errors and arguments are those of `import_tiles` and
    `segmented_frames`.
    """
    prepare = None
    if segmenter != NONE and not data.exact_nuclei:
        prepare = partial(segmented_frames, segmenter=get_segmenter(segmenter))
    return readers.import_tiles(data, tiles, root=root, out=out, prepare=prepare)


def segmented_frames(found: FrameSet, *, segmenter: Segmenter, required: bool = False) -> FrameSet:
    """Return a data set whose frames, when read, have the nuclei that a segmenter finds.

    Annotated nuclei are not replaced: only frames without them are segmented. If there are any, the
    provenance records the segmenter, so that it never scores its own masks; otherwise the data set is
    returned unchanged.

    Parameters
    ----------
    found
        Frames not yet decoded.
    segmenter
        Segmenter for whole frames; the learned ones need bounded memory.
    required
        Refuse a data set without frames to segment.

    Raises
    ------
    InputError
        A frame without nuclei has an unknown scale; with ``required``, every frame has nuclei.
    """
    if all(frame.annotated for frame in found.frames):
        if required and found.frames:
            raise InputError(
                f"{found.frames[0].path}: has nuclei already, like every frame; leave the segmenter out"
            )
        return found
    maker = {"name": segmenter.name, "weights_hash": segmenter.weights_hash}
    return replace(
        found,
        frames=[frame if frame.annotated else _segmented(frame, segmenter) for frame in found.frames],
        provenance={**found.provenance, "masks": maker},
    )


def _segmented(frame: Frame, segmenter: Segmenter) -> Frame:
    if frame.mpp is None:
        raise InputError(
            f"{frame.path}: mpp missing; nuclei are found by size, give data.mpp in µm/px, or segmenter none"
        )
    return replace(frame, annotated=True, read=partial(_read, frame, frame.mpp, segmenter))


def _read(frame: Frame, mpp: float, segmenter: Segmenter) -> Pixels:
    pixels, _ = frame.read()
    return pixels, segmenter(pixels[None], mpp)[0]
