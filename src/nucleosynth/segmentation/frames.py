"""Nuclei found in whole frames before tiles are cut, so that no tile's border decides where one ends."""

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
    """Import a data set, nuclei found by a segmenter in frames that lack them; by `NONE` in none.

    Tiles with exact nuclei keep them. Errors and arguments are those of `import_tiles` and
    `segmented_frames`.
    """
    prepare = None
    if segmenter != NONE and not data.exact_nuclei:
        prepare = partial(segmented_frames, segmenter=get_segmenter(segmenter))
    return import_tiles(data, tiles, root=root, out=out, prepare=prepare)


def segmented_frames(found: FrameSet, *, segmenter: Segmenter, required: bool = False) -> FrameSet:
    """Return a data set whose frames, when read, carry the nuclei that a segmenter finds.

    Annotated nuclei are not replaced: only frames that lack them are segmented. If there is any, the
    provenance remembers the segmenter, so that it never scores its own masks; else the data set is
    returned as it is.

    Parameters
    ----------
    found
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
    if all(frame.annotated for frame in found.frames):
        if required and found.frames:
            raise InputError(
                f"{found.frames[0].path}: carries nuclei already, like every frame; leave the segmenter out"
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
            f"{frame.path}: mpp missing; nuclei are found by size, give data.mpp in µm/px or find none"
        )
    return replace(frame, annotated=True, read=partial(_read, frame, frame.mpp, segmenter))


def _read(frame: Frame, mpp: float, segmenter: Segmenter) -> Pixels:
    pixels, _ = frame.read()
    return pixels, segmenter(pixels[None], mpp)[0]
