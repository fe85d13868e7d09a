"""Annotated pictures in parts or without a scale, such as CoNSeP in tiles or DSB-2018."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, NonNegativeInt, model_validator

from nucleosynth.config import Config
from nucleosynth.data.images import MASK_SUFFIXES, read_pair
from nucleosynth.data.readers.base import FrameReader, FrameSet, Licence
from nucleosynth.data.readers.files import by_stem
from nucleosynth.data.readers.labels import DatasetName, qualified
from nucleosynth.data.tiling import Frame, SourceMpp
from nucleosynth.errors import InputError

GUESSED_MPP = (0.15, 0.6)  # µm/px that an image of unknown scale can be given
LEAST_AREA = 10  # px: smaller specks say nothing of an image's median nucleus


def _checked_pattern(pattern: str) -> str:
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if groups - {"image", "part"}:
        raise ValueError("the only groups are `image` and `part`")
    return pattern


class PicturesConfig(Config):
    """Images with a label image of the same stem each."""

    licence: Licence = ""
    images: str = Field(description="folder of the images, below the data root")
    masks: str = Field(description="folder of the label images, below the data root")
    pattern: Annotated[str, AfterValidator(_checked_pattern)] | None = Field(
        None,
        description="regular expression on the stem; group `image` names the picture a file is part of, "
        "group `part` its place in `layout`; files that do not match are left out",
    )
    layout: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = Field(
        (),
        description="top and left, px, of each part of a picture: parts are put together first; their "
        "nuclei are numbered as one",
    )
    mpp: SourceMpp = Field(None, description="µm/px of the images")
    diameter: float | None = Field(
        None,
        gt=0,
        description="µm: where mpp is unknown, each image is scaled so that its median nucleus has it",
    )

    @model_validator(mode="after")
    def _one_scale(self) -> PicturesConfig:
        if (self.mpp is None) == (self.diameter is None):
            raise ValueError("give `mpp`, or `diameter` where it is unknown")
        return self


class PicturesReader(PicturesConfig, FrameReader):
    """Section ``data`` with ``reader: pictures``: each picture counts as one patient."""

    reader: Literal["pictures"] = "pictures"
    dataset: DatasetName

    @property
    def names_classes(self) -> bool:
        """Whether the tiles will have classes: never, as names hold none."""
        return False

    def read(self, root: Path) -> FrameSet:
        """List the frames, see `read_pictures`."""
        return read_pictures(self, root)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a picture, its label image, and the top and left at which it lies, px."""

    image: Path
    labels: Path
    corner: tuple[int, int] = (0, 0)


def read_pictures(config: PicturesReader, root: Path) -> FrameSet:
    """List the pictures, each as one frame; a scale that must be guessed is read off the label images.

    Raises
    ------
    InputError
        As `list_parts`; an image of unknown scale without nuclei to guess it by.
    """

    def frame(name: str, parts: list[Part]) -> Frame:
        frame_id = qualified(config.dataset, name)
        return Frame(
            frame_id=frame_id,
            patient_id=frame_id,
            patient_known=False,
            mpp=config.mpp or guessed_mpp(assemble(parts)[1], config.diameter, where=parts[0].image),
            path=parts[0].image,
            annotated=True,
            read=partial(assemble, parts),
        )

    return FrameSet([frame(name, parts) for name, parts in list_parts(config, root).items()])


def list_parts(config: PicturesConfig, root: Path) -> dict[str, list[Part]]:
    """Map the name of each picture to its parts, both sorted.

    Raises
    ------
    InputError
        A missing folder or label image, no match of the pattern, parts without a place.
    """
    images = by_stem(root / config.images)
    masks = by_stem(root / config.masks, MASK_SUFFIXES)
    found: dict[str, dict[int, Part]] = {}
    for stem, image in images.items():
        matched = re.fullmatch(config.pattern, stem) if config.pattern else None
        if config.pattern and not matched:
            continue
        if stem not in masks:
            raise InputError(f"{image}: no label image `{stem}` below `{config.masks}`; add it")
        groups: Mapping[str, str | None] = matched.groupdict() if matched else {}
        part = groups.get("part") or "0"
        if not part.isdecimal():
            raise InputError(f"{image}: its part `{part}` is no number; correct the group `part`")
        number = int(part)
        parts = found.setdefault(groups.get("image") or stem, {})
        if parts and not config.layout:
            raise InputError(f"{image}: part of a picture in several files; give their `layout`")
        if number in parts:
            raise InputError(f"{image}: is part {number}, as {parts[number].image} is; correct the pattern")
        parts[number] = Part(image, masks[stem], _corner(number, config, image))
    if not found:
        raise InputError(f"{root / config.images}: no name matches {config.pattern!r}; correct the pattern")
    return {name: [parts[number] for number in sorted(parts)] for name, parts in sorted(found.items())}


def _corner(number: int, config: PicturesConfig, image: Path) -> tuple[int, int]:
    if not config.layout:
        return (0, 0)
    if number >= len(config.layout):
        raise InputError(f"{image}: part {number} of {len(config.layout)} in `layout`, counted from 0")
    return config.layout[number]


def assemble(parts: list[Part]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Put a picture together: (h, w, 3) uint8 and labels (h, w) int32; later parts lie on top."""
    pieces = [(part.corner, *read_pair(part.image, part.labels, kind="instances")) for part in parts]
    height = max(top + piece.shape[0] for (top, _), piece, _ in pieces)
    width = max(left + piece.shape[1] for (_, left), piece, _ in pieces)
    pixels, whole = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    for (top, left), piece, labels in pieces:
        assert labels is not None  # every part has a label image
        here = np.s_[top : top + piece.shape[0], left : left + piece.shape[1]]
        pixels[here], whole[here] = piece, labels
    return pixels, whole


def guessed_mpp(labels: NDArray[np.int32], diameter: float | None, *, where: Path) -> float:
    """Return the µm/px at which the median nucleus of a picture has a diameter in µm."""
    assert diameter is not None  # where there is no mpp
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    areas = areas[areas > LEAST_AREA]
    if not len(areas):
        raise InputError(f"{where}: its scale is unknown and no nucleus tells it; leave it out or give mpp")
    median = float(np.median(2 * np.sqrt(areas / np.pi)))
    return float(np.clip(diameter / median, *GUESSED_MPP))
