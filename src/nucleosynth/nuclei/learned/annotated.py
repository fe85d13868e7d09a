"""Annotated pictures for training: put together from their parts, each with the depth of its nuclei."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.images import MASK_SUFFIXES, read_pair
from nucleosynth.data.readers.files import by_stem
from nucleosynth.errors import InputError
from nucleosynth.nuclei.instances import renumbered
from nucleosynth.nuclei.learned.config import AnnotatedConfig
from nucleosynth.nuclei.learned.targets import depth_maps

GUESSED_MPP = (0.15, 0.6)  # µm/px that an image of unknown scale can be given
DEPTH_UNIT = 0.1  # px of the picture per grey level of its stored depth
LEAST_AREA = 10  # px: smaller specks say nothing of an image's median nucleus

Part = tuple[int, Path, Path]


@dataclass(frozen=True)
class Picture:
    """One annotated picture: pixels (h, w, 3) uint8, labels (h, w) int32, µm/px, and its training maps."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mpp: float
    relative: NDArray[np.uint8]  # depth relative to the nucleus's deepest, 255 = 1
    depth: NDArray[np.uint8]  # depth in units of DEPTH_UNIT px


def read_pictures(source: AnnotatedConfig, root: Path) -> list[Picture]:
    """Read the annotated pictures of one source, sorted by name.

    Raises
    ------
    InputError
        A missing folder or mask, no match of the pattern, parts without a place, image and mask of different
        sizes, or an image of unknown scale without nuclei to guess it by.
    """
    return [_picture(name, parts, source) for name, parts in sorted(_parts(source, root).items())]


def content_hash(pictures: list[Picture]) -> str:
    """Return a short hash of pixels, labels and scales: what a run was trained on."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.name}|{picture.labels.shape}|{picture.mpp}".encode())
        digest.update(picture.pixels.tobytes())
        digest.update(picture.labels.tobytes())
    return digest.hexdigest()[:16]


def _parts(source: AnnotatedConfig, root: Path) -> dict[str, list[Part]]:
    images = by_stem(root / source.images)
    masks = by_stem(root / source.masks, MASK_SUFFIXES)
    found: dict[str, list[Part]] = {}
    for stem, image in images.items():
        matched = re.fullmatch(source.pattern, stem) if source.pattern else None
        if source.pattern and not matched:
            continue
        if stem not in masks:
            raise InputError(f"{image}: no label image `{stem}` below `{source.masks}`; add it")
        groups = matched.groupdict() if matched else {}
        found.setdefault(groups.get("image", stem), []).append(
            (int(groups.get("part", 0)), image, masks[stem])
        )
    if not found:
        raise InputError(f"{root / source.images}: no name matches {source.pattern!r}; correct the pattern")
    return found


def _picture(name: str, parts: list[Part], source: AnnotatedConfig) -> Picture:
    pixels, labels = _assembled(parts, source)
    mpp = source.mpp if source.mpp is not None else _guessed_mpp(labels, source, parts[0][1])
    numbers = renumbered(labels)
    relative, depth = depth_maps(numbers)
    return Picture(
        name,
        pixels,
        numbers,
        mpp,
        np.ceil(relative * 255).astype(np.uint8),
        np.minimum(depth / DEPTH_UNIT, 255).astype(np.uint8),
    )


def _assembled(parts: list[Part], source: AnnotatedConfig) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    if not source.layout:
        if len(parts) > 1:
            raise InputError(f"{parts[1][1]}: part of a picture in several files; give their `layout`")
        return _read(parts[0])
    pieces = [(_corner(part, source), *_read(part)) for part in sorted(parts)]
    height = max(top + labels.shape[0] for (top, _), _, labels in pieces)
    width = max(left + labels.shape[1] for (_, left), _, labels in pieces)
    pixels, whole = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    for (top, left), piece, labels in pieces:
        here = np.s_[top : top + labels.shape[0], left : left + labels.shape[1]]
        pixels[here], whole[here] = piece, labels
    return pixels, whole


def _corner(part: Part, source: AnnotatedConfig) -> tuple[int, int]:
    if part[0] >= len(source.layout):
        raise InputError(f"{part[1]}: part {part[0]} of {len(source.layout)} in `layout`, counted from 0")
    return source.layout[part[0]]


def _read(part: Part) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    pixels, labels = read_pair(part[1], part[2], kind="instances")
    assert labels is not None
    return pixels, labels


def _guessed_mpp(labels: NDArray[np.int32], source: AnnotatedConfig, path: Path) -> float:
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    areas = areas[areas > LEAST_AREA]
    if not len(areas):
        raise InputError(f"{path}: its scale is unknown and no nucleus tells it; leave it out or give mpp")
    assert source.diameter is not None
    median = float(np.median(2 * np.sqrt(areas / np.pi)))
    return float(np.clip(source.diameter / median, *GUESSED_MPP))


def split_pictures(pictures: list[Picture], held_out: tuple[str, ...]) -> tuple[list[Picture], list[Picture]]:
    """Part pictures into those to train on and those held out, by name.

    Raises
    ------
    InputError
        A name that no picture has, or nothing left to train on.
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
    """Yield pixels, relative depth, depth and inside (255), mirrored to at least ``size`` px a side."""
    height, width = picture.labels.shape
    wide = ((0, max(0, size - height)), (0, max(0, size - width)))
    yield np.pad(picture.pixels, (*wide, (0, 0)), mode="symmetric")
    yield np.pad(picture.relative, wide, mode="symmetric")
    depth = np.pad(picture.depth, wide, mode="symmetric")
    yield depth
    yield np.where(depth > 0, np.uint8(255), np.uint8(0))
