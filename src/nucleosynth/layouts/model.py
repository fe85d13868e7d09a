"""The layout model: load, save, draw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from nucleosynth.arguments import as_int, as_path
from nucleosynth.config import Config, parse
from nucleosynth.data.arrays import as_masks, as_mpp
from nucleosynth.data.conditions import Labels, as_indices, as_labels
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
        write_text(as_path(path, "path"), self._text())

    @classmethod
    def load(cls, path: Path | str) -> LayoutModel:
        """Read a layout model.

        Raises
        ------
        InputError
            The file does not exist, is something else, has a newer schema or a damaged field.
        """
        path = as_path(path, "path")
        data = read_json(path)
        if not isinstance(data, dict) or data.get("kind") != KIND:
            raise InputError(f"{path}: not a layout model; make one with `nucleosynth layouts fit`")
        return parse(cls, data, source=str(path))

    def draw(
        self,
        n: int | None = None,
        *,
        label: Labels = None,
        dial: Dial | Mapping[str, float] | None = None,
        size: int | tuple[int, int] | None = None,
        mpp: float | None = None,
        regions: npt.ArrayLike | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
    ) -> npt.NDArray[np.uint16]:
        """Draw new layouts.

        Parameters
        ----------
        n
            Number of layouts; None: as many as ``indices``, or as ``label`` if it lists several, else one.
        label
            Class of all layouts, or one per layout, by index or name; None or -1 = any class, as often as in
            the training tiles.
        dial
            Difference from real nuclei; a mapping such as ``{"size_ratio": 1.5}`` is accepted too.
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
        seed = as_int(seed, "seed")
        count = None if n is None else as_int(n, "n", least=0, most=1_000_000)
        if indices is not None:
            indices = as_indices(indices, count=count)
            count = len(indices)
        labels = as_labels(label, self.classes, count=count)
        indices = range(len(labels)) if indices is None else indices
        shape, scale = self._canvas(size, mpp)
        areas = _regions(regions, len(indices), shape)
        dial = dial if isinstance(dial, Dial) else parse(Dial, {} if dial is None else dial, source="dial")
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

    def _statistics_row(self, label: int, generator: np.random.Generator) -> int:
        if not self.classes:
            return 0
        if label >= 0:
            return label
        share = np.array([statistics.tiles for statistics in self.class_statistics], float)
        return int(generator.choice(len(share), p=share / share.sum()))

    def _canvas(self, size: Any, mpp: Any) -> tuple[tuple[int, int], float]:
        several = isinstance(size, tuple | list | np.ndarray)
        sides = self.size if size is None else tuple(size) if several else (size, size)
        shape = tuple(as_int(side, "layouts: size") for side in sides)
        scale = as_mpp(mpp, otherwise=self.mpp)
        if len(shape) != 2 or min(shape) < 8 or max(shape) > 4096:
            raise InputError(f"layouts: size is {shape} px; choose 8 to 4096, for height and width")
        if not 0.05 <= scale <= 4:
            raise InputError(f"layouts: mpp is {scale} µm/px; choose 0.05 to 4, such as 0.5")
        return (shape[0], shape[1]), scale

    def _text(self) -> str:
        data = self.model_dump(by_alias=True, mode="json")
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def _regions(regions: Any, count: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    if regions is None:
        return None
    areas = regions if isinstance(regions, np.ndarray) else as_masks(regions, name="regions")
    areas = areas[0] if areas.ndim == 3 and len(areas) == 1 else areas
    if areas.dtype != np.bool_ or areas.shape not in (shape, (count, *shape)):
        raise InputError(
            f"layouts: regions are {areas.dtype} {areas.shape}; expected bool {shape} or {(count, *shape)}"
        )
    return np.broadcast_to(areas, (count, *shape))
