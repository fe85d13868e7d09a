"""Filters of synthetic tiles: each scores the tiles of a pool, and is fitted on training patients alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.mixture import TrainingSet
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.split import grouped_folds
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.features import get_extractor, sound_features
from nucleosynth.evaluate.fidelity.realism import typicality
from nucleosynth.evaluate.memorization.structure_search import CELLS, StructureSearch
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, MASK_JUDGE, NONE, get_segmenter
from nucleosynth.segmentation.tilesets import find_nuclei
from nucleosynth.study.design.arms import FILTERS
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FilterInput:
    """A pool of synthetic tiles, the real tiles, and those rows of the real ones that may be read."""

    pool: TileSet
    tiles: TileSet
    rows: Rows


class Filter(ABC):
    """A score of synthetic tiles; the highest are kept. Its name is that in `arms.FILTERS`."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def of(cls, context: FitContext, job: Job) -> Filter:
        """Return the filter with the settings of a study, for one generator of a fit."""

    @classmethod  # noqa: B027 - most filters require nothing
    def require(cls, study: StudyConfig, tiles: TileSet) -> None:
        """Refuse, before any training, a study in which the filter would fail; raise InputError."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what decides the scores apart from the tiles, for the record."""

    def reads(self, given: FilterInput) -> Rows:
        """Return the rows that the filter reads; raise InputError for tiles that it cannot score."""
        return given.rows

    @abstractmethod
    def score(self, given: FilterInput) -> Floats:
        """Return the score of each tile of the pool, (n,), given the rows that `reads` returned."""


def refuse_filters(study: StudyConfig, tiles: TileSet) -> None:
    """Refuse, before hours of training, a study in which one of its filters would fail."""
    for name in study.arms.filters:
        filter_class(name).require(study, tiles)


def filter_class(name: str) -> type[Filter]:
    """Return the filter with a name.

    Raises
    ------
    InputError
        The name is unknown.
    """
    found: type[Filter] = FILTERS.get(name)
    return found


def finder(study: StudyConfig) -> str:
    """Return the segmenter that chooses among synthetic tiles by their nuclei; never the mask judge."""
    return DEFAULT_SEGMENTER if study.segmenter.make == NONE else study.segmenter.make


@dataclass(frozen=True)
class Confidence(Filter):
    """The probability that classifiers trained on real tiles give to the class of a tile.

    There are two classifiers, each trained on half of the training patients and validated on the other half.
    The score is their mean, or that of the one trained on the class. All tiles without a class get the same
    score. Runs are kept in ``folder``.
    """

    config: ClassifierConfig
    folder: Path
    seed: int
    device: str

    name: ClassVar[str] = "confidence"

    @classmethod
    def of(cls, context: FitContext, job: Job) -> Confidence:
        """Return the filter with the study's classifier."""
        seed = context.seed(job.generator)
        return cls(context.study.classifier, context.path(job.folder), seed, context.device)

    def identity(self) -> dict[str, Any]:
        """Return the settings of the classifiers."""
        settings = self.config.model_dump(mode="json", exclude={"seeds"})
        return {"classifier": settings, "seed": self.seed}

    def reads(self, given: FilterInput) -> Rows:
        """Return the rows with a class, of two patients at least."""
        tiles, rows = given.tiles, given.rows[given.tiles.labels[given.rows] >= 0]
        patients, labelled = len(set(tiles.patients[rows].tolist())), int((given.pool.labels >= 0).sum())
        if patients < 2 or len(tiles.classes) < 2 or not labelled:
            raise InputError(
                f"filter `confidence`: {len(tiles.classes)} classes, {patients} training patients and "
                f"{labelled} synthetic tiles with a class; expected at least 2, 2 and 1"
            )
        return rows

    def score(self, given: FilterInput) -> Floats:
        """Return the mean probability of each tile's class."""
        pool, patients, labels = given.pool, given.tiles.patients[given.rows], given.tiles.labels[given.rows]
        known = np.flatnonzero(pool.labels >= 0)
        asked = pool.labels[known]
        total, voices = np.zeros(len(known)), np.zeros(len(known))
        for index, half in enumerate(grouped_folds(patients.tolist(), labels, folds=2, seed=self.seed)):
            inside = np.isin(patients, half)
            knows = np.isin(asked, labels[inside])
            total += knows * self._half(index, given, inside)[np.arange(len(asked)), asked]
            voices += knows
        scores = np.zeros(len(pool))
        scores[known] = total / np.maximum(voices, 1)
        return scores

    def _half(self, index: int, given: FilterInput, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Train on the rows of one half; return class probabilities of the pool's tiles with a class."""
        folder, pool, tiles = self.folder / f"half-{index}", given.pool, given.tiles
        rows, others = given.rows[inside], given.rows[~inside]
        train_classifier(
            TrainingSet.of(tiles, rows),
            self.config,
            evaluate={"validation": (tiles, others), "pool": (pool, np.arange(len(pool)))},
            out=folder,
            settings={
                "tileset": tiles.content_hash,
                "pool": pool.content_hash,
                "train": sorted(set(tiles.patients[rows].tolist())),
            },
            seed=self.seed,
            device=self.device,
        )
        return np.asarray(np.load(folder / "pool.npy"))


@dataclass(frozen=True)
class Typicality(Filter):
    """The nearness of a tile, in features, to training tiles of its class (`evaluate.typicality`)."""

    extractor: str

    name: ClassVar[str] = "typicality"

    @classmethod
    def of(cls, context: FitContext, job: Job) -> Typicality:  # noqa: ARG003
        """Return the filter with the study's extractor."""
        return cls(context.study.fidelity.extractor)

    @classmethod
    def require(cls, study: StudyConfig, tiles: TileSet) -> None:  # noqa: ARG003
        """Refuse a study without an extractor."""
        if study.fidelity.extractor == NONE:
            raise InputError("arms.filters: typicality needs features; name a `fidelity.extractor`")

    def identity(self) -> dict[str, Any]:
        """Return name and weights of the extractor."""
        if self.extractor == NONE:
            raise InputError("filter `typicality`: needs features; name an extractor instead of none")
        network = get_extractor(self.extractor)
        return {"extractor": {"name": network.name, "weights_hash": network.weights_hash}}

    def score(self, given: FilterInput) -> Floats:
        """Return the typicality of each tile."""
        network = get_extractor(self.extractor)
        real = sound_features(network, np.asarray(given.tiles.images[given.rows]), of="training tiles")
        made = sound_features(network, np.asarray(given.pool.images), of="synthetic tiles")
        return typicality(real, given.tiles.labels[given.rows], made, given.pool.labels)


@dataclass(frozen=True)
class Masks(Filter):
    """The IoU of the requested nuclei of a tile and those found in it; nothing is fitted.

    The mask judge of a study must not choose tiles too. The chance level of IoU is higher for tiles with many
    nuclei (`nuclei.agreement`), so the filter prefers crowded tiles.
    """

    segmenter: str
    judge: str = MASK_JUDGE

    name: ClassVar[str] = "masks"

    @classmethod
    def of(cls, context: FitContext, job: Job) -> Masks:  # noqa: ARG003
        """Return the filter with the study's segmenter."""
        return cls(finder(context.study), context.study.segmenter.judge)

    @classmethod
    def require(cls, study: StudyConfig, tiles: TileSet) -> None:
        """Refuse a study without masks or scale, or in which the mask judge would choose tiles."""
        if tiles.mpp is None or tiles.masks is None:
            missing = "masks" if tiles.masks is None else "µm/px"
            raise InputError(f"arms.filters: masks needs tiles with {missing}; {tiles.path} has none")
        if finder(study) == study.segmenter.judge:
            raise InputError(
                f"arms.filters: masks would choose tiles by `{finder(study)}`, the mask judge that scores "
                "them; name another segmenter.make or segmenter.judge"
            )

    def identity(self) -> dict[str, Any]:
        """Return name and weights of the segmenter; refuse the mask judge under any name."""
        if self.segmenter == NONE:
            raise InputError("filter `masks`: needs nuclei; name a segmenter instead of none")
        finder = get_segmenter(self.segmenter)
        if self.judge != NONE and finder.weights_hash == get_segmenter(self.judge).weights_hash:
            raise InputError(
                f"filter `masks`: `{self.segmenter}` is the mask judge, which must not choose the tiles that "
                "it scores; name another segmenter"
            )
        return {"segmenter": {"name": finder.name, "weights_hash": finder.weights_hash}}

    def reads(self, given: FilterInput) -> Rows:
        """Return no rows; refuse a pool without masks or a scale."""
        pool = given.pool
        bare = int((~pool.has_mask).sum())
        if bare:
            raise InputError(
                f"{pool.path}: {bare} of {len(pool)} tiles have no mask, which filter `masks` needs; draw "
                "them with a generator that follows masks, or leave the filter out"
            )
        if pool.mpp is None:
            raise InputError(
                f"{pool.path}: its µm/px is unknown, and filter `masks` finds nuclei by size; import the "
                "real tiles with `mpp`, or leave the filter out"
            )
        return given.rows[:0]

    def score(self, given: FilterInput) -> Floats:
        """Return the IoU of each tile."""
        pool = given.pool
        assert pool.masks is not None  # `reads` checked both
        assert pool.mpp is not None
        return tile_iou(find_nuclei(get_segmenter(self.segmenter), pool.images, pool.mpp), pool.masks)


class Copies(Filter):
    """The dissimilarity, in structure, of a tile to its most similar training tile (`evaluate.copies`)."""

    name: ClassVar[str] = "copies"

    @classmethod
    def of(cls, context: FitContext, job: Job) -> Copies:  # noqa: ARG003
        """Return the filter; it has no settings."""
        return cls()

    def identity(self) -> dict[str, Any]:
        """Return nothing: there are no settings."""
        return {}

    def reads(self, given: FilterInput) -> Rows:
        """Return all training rows; refuse tiles of a size that cannot be compared."""
        height, width = given.pool.size
        if height != width or height % CELLS:
            raise InputError(
                f"filter `copies`: tiles of {height} x {width} px; expected squares, a multiple of {CELLS} px"
            )
        return given.rows

    def score(self, given: FilterInput) -> Floats:
        """Return minus the similarity of each tile to its nearest training tile."""
        search = StructureSearch(np.asarray(given.tiles.images[given.rows]))
        return -search(np.asarray(given.pool.images)).similarity.astype(np.float64)


def tile_iou(found: npt.NDArray[Any], asked: npt.NDArray[Any]) -> Floats:
    """Return the IoU of the nuclei of each tile, (n,), in label images (n, h, w); 1 where neither has any."""
    ours, theirs = found != 0, asked != 0
    both, either = (part.sum(axis=(1, 2)) for part in (ours & theirs, ours | theirs))
    return np.asarray(np.where(either, both / np.maximum(either, 1), 1.0), np.float64)
