"""A folder per class (the ImageFolder layout); images in a folder ``unlabelled`` have no class."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from nucleosynth.data.images import read_pair
from nucleosynth.data.readers.base import FrameReader, FrameSet
from nucleosynth.data.readers.files import find_files
from nucleosynth.data.readers.labels import DatasetName, nearest, qualified
from nucleosynth.data.readers.names import NamePattern, parts_of
from nucleosynth.data.tiling import Frame, SourceMpp
from nucleosynth.errors import InputError

UNLABELLED = "unlabelled"


class FolderConfig(FrameReader):
    """Section ``data`` with ``reader: folder``."""

    reader: Literal["folder"] = "folder"
    dataset: DatasetName
    images: str = Field(".", description="folder with one folder per class, below the data root")
    classes: tuple[str, ...] = Field((), description="class folders in order; left out: sorted by name")
    ordinal: bool = False
    pattern: NamePattern | None = None
    mpp: SourceMpp = Field(None, description="µm/px of the images")

    @field_validator("pattern")
    @classmethod
    def _class_from_folder(cls, pattern: str | None) -> str | None:
        if "(?P<label>" in (pattern or ""):
            raise ValueError("the folder is the class; remove the group `label`")
        return pattern

    def read(self, root: Path) -> FrameSet:
        """List the frames, see `read_folder`."""
        return read_folder(self, root)


def read_folder(config: FolderConfig, root: Path) -> FrameSet:
    """List the images of each class folder; without a patient group each image is a patient of its own.

    Raises
    ------
    InputError
        No class folder, an empty one, one that is not among the classes, an image outside the class folders.
    """
    top = root / config.images
    images = find_files(top)
    loose = next((path for path in images if path.parent == top), None)
    if loose:
        raise InputError(f"{loose}: lies outside the class folders; move it into one or into `{UNLABELLED}`")
    present = {path.relative_to(top).parts[0] for path in images}
    for entry in sorted(top.iterdir()):
        if entry.is_dir() and entry.name not in present and not entry.name.startswith((".", "__MACOSX")):
            raise InputError(f"{entry}: class folder holds no image; fill or remove it")
    classes = config.classes or tuple(sorted(present - {UNLABELLED}))
    if not classes:
        raise InputError(f"{top}: has no class folder with images; expected one folder per class")
    for name in classes:
        if name not in present:
            raise InputError(f"{top / name}: no such class folder; {nearest(name, present)}")
    strange = sorted(present - {*classes, UNLABELLED})
    if strange:
        raise InputError(f"{top / strange[0]}: not one of the classes; {nearest(strange[0], classes)}")
    return FrameSet([_frame(path, top, classes, config) for path in images], classes, config.ordinal)


def _frame(path: Path, top: Path, classes: tuple[str, ...], config: FolderConfig) -> Frame:
    parts = parts_of(path, config.pattern) if config.pattern else {}
    relative = path.relative_to(top)
    frame_id = f"{config.dataset}:{relative.with_suffix('').as_posix()}"
    slide = parts.get("slide")
    return Frame(
        frame_id=frame_id,
        patient_id=qualified(config.dataset, parts["patient"]) if "patient" in parts else frame_id,
        patient_known="patient" in parts,
        slide_id=qualified(config.dataset, slide) if slide else None,
        label=None if relative.parts[0] == UNLABELLED else classes.index(relative.parts[0]),
        scanner=parts.get("scanner"),
        mpp=config.mpp,
        path=path,
        read=partial(read_pair, path),
    )
