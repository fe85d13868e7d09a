"""The layout model: load, save, draw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from nucleosynth.config import Config, parse
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_text
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.class_model import ClassStatistics, LayoutSampler
from nucleosynth.seeds import rng

KIND = "layout model"


class LayoutModel(Config):
    """The statistics of nuclei in the masks of some patients; a small JSON file."""

    kind: Literal["layout model"] = "layout model"
    schema_version: int = Field(1, alias="schema", ge=1, le=1)
    classes: list[str]
    size: tuple[int, int]
    """Size of the training tiles, px."""
    mpp: float = Field(gt=0)
    patients: list[str]
    """Training patients."""
    content_hash: str
    """Hash of the TileSet's content."""
    class_statistics: list[ClassStatistics] = Field(min_length=1)
    """One entry per class, or a single one without classes."""

    @model_validator(mode="after")
    def _one_per_class(self) -> LayoutModel:
        if len(self.class_statistics) != max(1, len(self.classes)):
            raise ValueError("`class_statistics` needs one entry per class")
        return self

    @property
    def layouts_id(self) -> str:
        """Short hash of the whole model."""
        return hashlib.sha256(self._text().encode()).hexdigest()[:12]

    def save(self, path: Path | str) -> None:
        """Write the JSON file, whole or not at all."""
        write_text(Path(path), self._text())

    @classmethod
    def load(cls, path: Path | str) -> LayoutModel:
        """Read a layout model.

        Raises
        ------
        InputError
            The file does not exist, is something else, has a newer schema or a damaged field.
        """
        data = read_json(Path(path))
        if not isinstance(data, dict) or data.get("kind") != KIND:
            raise InputError(f"{path}: not a layout model; make one with `nucleosynth layouts fit`")
        return parse(cls, data, source=str(path))

    def draw(
        self,
        n: int | None = None,
        *,
        label: int | Sequence[int | None] | None = None,
        dial: Dial | None = None,
        size: int | tuple[int, int] | None = None,
        mpp: float | None = None,
        regions: npt.NDArray[np.bool_] | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
    ) -> npt.NDArray[np.uint16]:
        """Draw new layouts.

        Parameters
        ----------
        n
            Number of layouts; not needed if ``indices`` are given.
        label
            Class of all layouts, or one per layout; None or -1 = any class, as often as in the training
            tiles.
        dial
            Difference from real nuclei.
        size
            px, of a square or (height, width); None = that of the training tiles.
        mpp
            µm per px; None = that of the training tiles.
        regions : (h, w) or (n, h, w) bool
            Where nuclei may lie, such as nests or glands; None = everywhere. A region at the border of the
            tile is assumed to continue outside.
        seed, indices
            Layout i depends only on the seed and on ``indices[i]`` (by default i itself).

        Returns
        -------
        (n, h, w) uint16
            Instances 1, 2, ... without a gap, 0 = background.

        Raises
        ------
        InputError
            A label is outside the classes, or size, scale or shape of regions are impossible.
        """
        indices = range(n or 0) if indices is None else indices
        shape, scale = self._canvas(size, mpp)
        labels = [label] * len(indices) if label is None or isinstance(label, int) else list(label)
        self._check(labels, len(indices))
        areas = _regions(regions, len(indices), shape)
        dial = dial or Dial()
        samplers: dict[int, LayoutSampler] = {}
        masks = np.zeros((len(indices), *shape), np.uint16)
        for place, index in enumerate(indices):
            generator = rng(seed, "layout", index)
            statistics = self._statistics_row(labels[place], generator)
            if statistics not in samplers:
                samplers[statistics] = LayoutSampler(self.class_statistics[statistics], dial)
            region = None if areas is None else areas[place]
            masks[place] = samplers[statistics].draw(generator, size=shape, mpp=scale, region=region)
        return masks

    def _statistics_row(self, label: int | None, generator: np.random.Generator) -> int:
        if not self.classes:
            return 0
        if label is not None and label >= 0:
            return label
        share = np.array([statistics.tiles for statistics in self.class_statistics], float)
        return int(generator.choice(len(share), p=share / share.sum()))

    def _canvas(self, size: int | tuple[int, int] | None, mpp: float | None) -> tuple[tuple[int, int], float]:
        shape = self.size if size is None else (size, size) if isinstance(size, int) else tuple(size)
        scale = self.mpp if mpp is None else mpp
        if min(shape) < 8 or max(shape) > 4096:
            raise InputError(f"layouts: size is {shape} px; choose 8 to 4096")
        if not 0.05 <= scale <= 4:
            raise InputError(f"layouts: mpp is {scale} µm/px; choose 0.05 to 4, such as 0.5")
        return (int(shape[0]), int(shape[1])), float(scale)

    def _check(self, labels: Sequence[int | None], count: int) -> None:
        if len(labels) != count:
            raise InputError(f"layouts: {len(labels)} labels for {count} layouts; give one per layout")
        for label in labels:
            if label is not None and not -1 <= label < len(self.classes):
                known = ", ".join(self.classes) or "none"
                raise InputError(f"layouts: label {label} is outside the model's classes ({known})")

    def _text(self) -> str:
        data = self.model_dump(by_alias=True, mode="json")
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def _regions(
    regions: npt.NDArray[np.bool_] | None, count: int, shape: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    if regions is None:
        return None
    areas = np.asarray(regions)
    if areas.dtype != np.bool_ or areas.shape not in (shape, (count, *shape)):
        raise InputError(
            f"layouts: regions are {areas.dtype} {areas.shape}; expected bool {shape} or {(count, *shape)}"
        )
    return np.broadcast_to(areas, (count, *shape))
