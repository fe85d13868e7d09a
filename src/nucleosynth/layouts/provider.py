"""Layouts for synthetic tiles: drawn on request, or from a folder drawn before.

A folder of layouts holds ``masks.npy``, (n, h, w) uint16, ``layouts.json``, and a picture of the first ones.
It is not a TileSet, in which every row is a tile with pixels: layouts have no pixels yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nucleosynth.config import Config, parse
from nucleosynth.errors import InputError
from nucleosynth.files import disk_errors, file_hash, is_free, partial, read_json, write_array, write_json
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.render.grid import grid, save_png
from nucleosynth.render.outlines import draw_masks
from nucleosynth.seeds import rng

if TYPE_CHECKING:
    from nucleosynth.layouts.protocol import Layouts

KIND = "layouts"
PICTURED = 48
"""Number of layouts in the picture of a folder."""


class ModelLayouts:
    """Layouts that a model draws on request."""

    def __init__(self, model: LayoutModel, dial: Dial | None = None) -> None:
        self.model, self.dial = model, dial or Dial()
        self.classes, self.patients = model.classes, model.patients

    def identity(self) -> dict[str, Any]:
        """Return the model's hash and the dial."""
        return {"model": self.model.layouts_id, "dial": self.dial.model_dump()}

    def masks(
        self,
        labels: Sequence[int],
        *,
        indices: Sequence[int],
        ranks: Sequence[int],  # noqa: ARG002 - a model never runs out
        size: int,
        mpp: float,
        seed: int,
    ) -> npt.NDArray[np.uint16]:
        """Draw the masks; layout i depends only on the seed and its index."""
        return self.model.draw(
            label=list(labels), dial=self.dial, size=size, mpp=mpp, seed=seed, indices=indices
        )


class LayoutsCard(Config):
    """``layouts.json``: the description of the masks in the same folder."""

    kind: Literal["layouts"] = "layouts"
    schema_version: int = Field(1, alias="schema", ge=1, le=1)
    model: str
    """Hash of the model that drew them."""
    dial: Dial
    seed: int
    mpp: float = Field(gt=0)
    classes: list[str]
    labels: list[int]
    """Class of each layout, -1 = no class."""
    patients: list[str]
    """Training patients of the model."""


class StoredLayouts:
    """Layouts drawn before; made by `open`."""

    def __init__(self, path: Path, card: LayoutsCard, pixels: npt.NDArray[np.uint16]) -> None:
        self.path, self.card, self.pixels = path, card, pixels
        self.classes, self.patients = card.classes, card.patients

    @classmethod
    def open(cls, path: Path) -> StoredLayouts:
        """Open a folder that `nucleosynth layouts draw` wrote.

        Raises
        ------
        InputError
            The folder is something else, or its masks do not match their description.
        """
        data = read_json(path / "layouts.json")
        if not isinstance(data, dict) or data.get("kind") != KIND:
            raise InputError(f"{path / 'layouts.json'}: describes no layouts; draw them again")
        card = parse(LayoutsCard, data, source=str(path / "layouts.json"))
        try:
            pixels = np.load(path / "masks.npy", mmap_mode="r")
        except (OSError, ValueError):
            raise InputError(f"{path / 'masks.npy'}: cannot be read as masks; draw them again") from None
        if pixels.dtype != np.uint16 or pixels.ndim != 3 or len(pixels) != len(card.labels):
            raise InputError(
                f"{path / 'masks.npy'}: {pixels.dtype} {pixels.shape}; expected uint16 "
                f"({len(card.labels)}, height, width) as layouts.json says: draw them again"
            )
        return cls(path, card, pixels)

    def identity(self) -> dict[str, Any]:
        """Return the model's hash, the dial and the hash of the masks."""
        card = self.card
        masks = file_hash(self.path / "masks.npy")
        return {"model": card.model, "dial": card.dial.model_dump(), "seed": card.seed, "masks": masks}

    def masks(
        self,
        labels: Sequence[int],
        *,
        indices: Sequence[int],  # noqa: ARG002 - they were drawn before
        ranks: Sequence[int],
        size: int,
        mpp: float,
        seed: int,  # noqa: ARG002
    ) -> npt.NDArray[np.uint16]:
        """Return the stored masks of each label in order; after the last, the first is used again."""
        if self.pixels.shape[1:] != (size, size) or abs(self.card.mpp / mpp - 1) > 0.01:
            raise InputError(
                f"{self.path}: layouts of {self.pixels.shape[1:]} px at {self.card.mpp:g} µm/px; expected "
                f"{(size, size)} px at {mpp:g} µm/px: draw them with --size {size} --mpp {mpp:g}"
            )
        own = np.asarray(self.card.labels)
        groups = {label: np.flatnonzero(own == label) for label in set(labels)}
        for label, group in groups.items():
            if not len(group):
                name = self.classes[label] if 0 <= label < len(self.classes) else "without a class"
                raise InputError(f"{self.path}: no layout {name}; draw some with --labels")
        chosen = [groups[label][turn % len(groups[label])] for label, turn in zip(labels, ranks, strict=True)]
        return np.asarray(self.pixels[chosen])


def write_layouts(
    out: Path,
    model: LayoutModel,
    *,
    labels: Sequence[int],
    dial: Dial | None = None,
    size: int | None = None,
    mpp: float | None = None,
    regions: npt.NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> StoredLayouts:
    """Draw layouts into a new folder, which appears whole or not at all.

    Raises
    ------
    InputError
        The folder exists and is not empty, or as `LayoutModel.draw`.
    """
    if not is_free(out):
        raise InputError(f"{out}: already exists; choose a new directory")
    dial = dial or Dial()
    masks = model.draw(
        len(labels), label=list(labels), dial=dial, size=size, mpp=mpp, regions=regions, seed=seed
    )
    card = LayoutsCard(
        model=model.layouts_id,
        dial=dial,
        seed=seed,
        mpp=mpp or model.mpp,
        classes=model.classes,
        labels=list(labels),
        patients=model.patients,
    )
    with partial(out) as building, disk_errors(out):
        building.mkdir()
        write_array(building / "masks.npy", masks)
        write_json(building / "layouts.json", card.model_dump(by_alias=True, mode="json"))
        save_png(building / "layouts.png", grid(draw_masks(masks[:PICTURED], scale=2), columns=8))
    return StoredLayouts.open(out)


def open_layouts(path: Path, dial: Dial | None = None) -> Layouts:
    """Open a layout model, to draw from with a dial, or a folder of layouts, whose dial is fixed.

    Raises
    ------
    InputError
        The path is neither of the two, or a dial is given for a folder.
    """
    if not path.is_dir():
        return ModelLayouts(LayoutModel.load(path), dial)
    if dial is not None and dial != Dial():
        raise InputError(
            f"{path}: these layouts are drawn already; set the dial in `nucleosynth layouts draw`"
        )
    return StoredLayouts.open(path)


def choose_labels(
    model: LayoutModel, count: int, *, label: str | None, labels: Literal["as-train", "balanced"], seed: int
) -> list[int]:
    """Return the class of each layout: a named one, all in turn, or as in training; -1 without classes.

    Raises
    ------
    InputError
        The model does not have the class.
    """
    if label is not None and label not in model.classes:
        known = ", ".join(model.classes) or "none: leave the label out"
        raise InputError(f"layouts: unknown class {label!r}; the model's classes are {known}")
    if label is not None:
        return [model.classes.index(label)] * count
    if not model.classes:
        return [-1] * count
    if labels == "balanced":
        return [index % len(model.classes) for index in range(count)]
    share = np.array([statistics.tiles for statistics in model.class_statistics], float)
    drawn = [rng(seed, "layout-label", index).random() for index in range(count)]
    return [int(np.searchsorted(np.cumsum(share) / share.sum(), value, side="right")) for value in drawn]
