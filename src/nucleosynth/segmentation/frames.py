"""Segmentation of whole frames before tiles are cut, so that tile borders do not cut nuclei."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from nucleosynth.data.readers import FrameSet, ReaderConfig, import_tiles
from nucleosynth.data.tileset import TileSet
from nucleosynth.data.tiling import Frame, Pixels, TilesConfig
from nucleosynth.errors import InputError
from nucleosynth.segmentation.segmenter import NONE, Segmenter, get_segmenter


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
    return import_tiles(data, tiles, root=root, out=out, prepare=prepare)


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
