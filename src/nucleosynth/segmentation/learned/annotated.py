"""Annotated pictures for training, each with the depth of its nuclei."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.grid import renumber
from nucleosynth.data.readers.pictures import Part, assemble, guessed_mpp, list_parts
from nucleosynth.errors import InputError
from nucleosynth.segmentation.learned.config import AnnotatedConfig
from nucleosynth.segmentation.learned.targets import depth_maps

DEPTH_UNIT = 0.1  # px of the picture per grey level of its stored depth


@dataclass(frozen=True)
class Picture:
    """One annotated picture: pixels (h, w, 3) uint8, labels (h, w) int32, µm/px, and its training maps."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mpp: float
    relative: NDArray[np.uint8]  # depth relative to the nucleus's deepest, 255 = 1
    depth: NDArray[np.uint8]  # depth in units of DEPTH_UNIT px


def read_pictures(config: AnnotatedConfig, root: Path) -> list[Picture]:
    """Read the annotated pictures of one part of the training data, sorted by name.

    Raises
    ------
    InputError
        A folder or mask is missing, the pattern has no match, a part has no place, image and mask differ in
        size, or an image has an unknown scale and no nuclei to estimate it.
    """
    return [_picture(name, parts, config) for name, parts in list_parts(config, root).items()]


def content_hash(pictures: Sequence[Picture]) -> str:
    """Return a short hash of pixels, labels and scales, which identifies training data."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.name}|{picture.labels.shape}|{picture.mpp}".encode())
        digest.update(picture.pixels.tobytes())
        digest.update(picture.labels.tobytes())
    return digest.hexdigest()[:16]


def annotated_picture(name: str, pixels: NDArray[np.uint8], labels: NDArray[np.int32], mpp: float) -> Picture:
    """Return a picture (h, w, 3) with its nuclei (h, w), numbered through, and its training maps."""
    numbers = renumber(labels, np.int32)
    relative, depth = depth_maps(numbers)
    return Picture(
        name,
        pixels,
        numbers,
        mpp,
        np.ceil(relative * 255).astype(np.uint8),
        np.minimum(depth / DEPTH_UNIT, 255).astype(np.uint8),
    )


def _picture(name: str, parts: list[Part], config: AnnotatedConfig) -> Picture:
    pixels, labels = assemble(parts)
    mpp = config.mpp or guessed_mpp(labels, config.diameter, where=parts[0].image)
    return annotated_picture(name, pixels, labels, mpp)


def split_pictures(pictures: list[Picture], held_out: tuple[str, ...]) -> tuple[list[Picture], list[Picture]]:
    """Divide pictures into training and held-out ones, by name.

    Raises
    ------
    InputError
        No picture has a given name, or nothing is left to train on.
    """
    known = {picture.name for picture in pictures}
    for name in held_out:
        if name not in known:
            raise InputError(f"validation picture `{name}` does not exist; known are {_some(known)}")
    kept = [picture for picture in pictures if picture.name not in held_out]
    if not kept:
        raise InputError("every picture is held out for validation; leave some to train on")
    return kept, [picture for picture in pictures if picture.name in held_out]


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:4])


def padded(picture: Picture, size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield pixels, relative depth, depth and inside (255), mirrored to at least ``size`` px per edge."""
    height, width = picture.labels.shape
    wide = ((0, max(0, size - height)), (0, max(0, size - width)))
    yield np.pad(picture.pixels, (*wide, (0, 0)), mode="symmetric")
    yield np.pad(picture.relative, wide, mode="symmetric")
    depth = np.pad(picture.depth, wide, mode="symmetric")
    yield depth
    yield np.where(depth > 0, np.uint8(255), np.uint8(0))
