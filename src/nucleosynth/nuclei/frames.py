"""Nuclei found in whole frames before tiles are cut, so that no tile's border decides where one ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nucleosynth.data.readers.source import Source
from nucleosynth.data.tiling import Frame, Pixels
from nucleosynth.errors import InputError
from nucleosynth.nuclei.segmenter import Segmenter


def segmented_source(source: Source, *, segmenter: Segmenter) -> Source:
    """Return a data set whose frames, when read, carry the nuclei that a segmenter finds.

    The provenance remembers the segmenter, so that nobody lets it judge its own masks.

    Parameters
    ----------
    source
        Frames not yet decoded; annotated nuclei are not replaced.
    segmenter
        Takes whole frames; the learned ones do so in bounded memory.

    Raises
    ------
    InputError
        A frame of unknown scale; when read, one that carries nuclei already.
    """
    for frame in source.frames:
        if frame.mpp is None:
            raise InputError(f"{frame.path}: mpp missing; nuclei are found by size, give data.mpp in µm/px")
    maker = {"name": segmenter.name, "weights_hash": segmenter.weights_hash}
    return replace(
        source,
        frames=[replace(frame, read=partial(_read, frame, segmenter)) for frame in source.frames],
        provenance={**source.provenance, "masks": maker},
    )


def _read(frame: Frame, segmenter: Segmenter) -> Pixels:
    pixels, nuclei = frame.read()
    if nuclei is not None:
        raise InputError(f"{frame.path}: carries nuclei already; import it without a segmenter")
    assert frame.mpp is not None
    return pixels, segmenter(pixels[None], frame.mpp)[0]
