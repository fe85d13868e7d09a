"""Images with nuclei masks of the same name, such as TNBC, CoNSeP, MoNuSeg or a QuPath export."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from nucleosynth.data.images import MASK_SUFFIXES, MaskKind, read_pair
from nucleosynth.data.readers.base import FrameReader, FrameSet
from nucleosynth.data.readers.files import by_stem
from nucleosynth.data.readers.labels import DatasetName, class_index, nearest, qualified
from nucleosynth.data.readers.names import NamePattern, parts_of
from nucleosynth.data.tiling import Frame, SourceMpp
from nucleosynth.errors import InputError


class PairedConfig(FrameReader):
    """Section ``data`` with ``reader: paired``."""

    reader: Literal["paired"] = "paired"
    dataset: DatasetName
    images: str = Field("images", description="folder of the images, below the data root")
    masks: str = Field("masks", description="folder of the masks, below the data root")
    mask: str = Field("{stem}", description="stem of an image's mask, such as {stem}_mask")
    mask_kind: MaskKind = Field(description="`instances`: numbered nuclei; `binary`: components are nuclei")
    pattern: NamePattern | None = None
    classes: tuple[str, ...] = Field((), description="class names, where the pattern has a group `label`")
    ordinal: bool = False
    mpp: SourceMpp = Field(None, description="µm/px of the images")

    @model_validator(mode="after")
    def _consistent(self) -> PairedConfig:
        if "{stem}" not in self.mask:
            raise ValueError("`mask` must hold {stem}, such as {stem}_mask")
        if ("(?P<label>" in (self.pattern or "")) != bool(self.classes):
            raise ValueError("`classes` and the group `label` of `pattern` need each other")
        return self

    @property
    def names_classes(self) -> bool:
        """Whether the tiles will have classes: those that are named."""
        return bool(self.classes)

    def read(self, root: Path) -> FrameSet:
        """List the frames, see `read_paired`."""
        return read_paired(self, root)


def read_paired(config: PairedConfig, root: Path) -> FrameSet:
    """List the images and their masks.

    Raises
    ------
    InputError
        Empty folder, image without mask, mask without image, name that does not match, label outside the
        classes.
    """
    images = by_stem(root / config.images)
    masks = by_stem(root / config.masks, MASK_SUFFIXES)
    frames = [_frame(path, _mask_of(path, masks, config), config) for path in images.values()]
    _refuse_orphans(images, masks, config)
    return FrameSet(frames, config.classes, config.ordinal)


def _mask_of(image: Path, masks: dict[str, Path], config: PairedConfig) -> Path:
    stem = config.mask.replace("{stem}", image.stem)
    if stem not in masks:
        raise InputError(f"{image}: no mask `{stem}` below `{config.masks}`; {nearest(stem, masks)}")
    return masks[stem]


def _refuse_orphans(images: dict[str, Path], masks: dict[str, Path], config: PairedConfig) -> None:
    """Refuse a mask whose image is missing; files of other names are ignored."""
    before, after = map(re.escape, config.mask.split("{stem}"))
    for name, path in masks.items():
        named = re.fullmatch(f"{before}(.+){after}", name)
        if named and named[1] not in images and name not in images:
            raise InputError(
                f"{path}: its image `{named[1]}` is not below `{config.images}`; add it or take the mask away"
            )


def _frame(image: Path, mask: Path, config: PairedConfig) -> Frame:
    parts = parts_of(image, config.pattern) if config.pattern else {}
    frame_id = qualified(config.dataset, image.stem)
    slide = parts.get("slide")
    label = parts.get("label")
    return Frame(
        frame_id=frame_id,
        patient_id=qualified(config.dataset, parts["patient"]) if "patient" in parts else frame_id,
        patient_known="patient" in parts,
        slide_id=qualified(config.dataset, slide) if slide else None,
        label=class_index(label, config.classes, where=str(image)) if label else None,
        scanner=parts.get("scanner"),
        mpp=config.mpp,
        path=image,
        annotated=True,
        read=partial(read_pair, image, mask, kind=config.mask_kind),
    )
