"""Training batches of a classifier: real and synthetic tiles at a dose, classes at given frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nucleosynth.classify.config import Balance
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng


@dataclass(frozen=True)
class MixturePart:
    """Labelled rows of one TileSet and their expected share of each batch.

    ``labels`` (len(rows),) replace those of the tiles, for the arm with shuffled labels.
    """

    tiles: TileSet
    rows: npt.NDArray[np.int64]
    share: float
    labels: npt.NDArray[np.int64] | None = None

    def members(self, label: int) -> npt.NDArray[np.int64]:
        """Return the rows of a class."""
        labels = self.tiles.labels[self.rows] if self.labels is None else self.labels
        return np.asarray(self.rows[labels == label])


@dataclass(frozen=True)
class TrainingSet:
    """What a classifier trains on.

    Attributes
    ----------
    parts
        Tiles and their shares of each batch; the shares add up to 1.
    natural
        (classes,) class frequencies of the real training tiles: the reference of every arm.
    balance
        Only for the arms that exist to change it; None takes the configuration's.
    strong
        Whether tiles are augmented strongly, see `augment`.
    first, first_share
        What the first share of the steps trains on in place of ``parts``.
    """

    parts: tuple[MixturePart, ...]
    natural: npt.NDArray[np.float64]
    balance: Balance | None = None
    strong: bool = False
    first: tuple[MixturePart, ...] = ()
    first_share: float = 0.0

    @classmethod
    def of(cls, tiles: TileSet, rows: npt.NDArray[np.int64]) -> TrainingSet:
        """Return the training set of some real tiles alone."""
        natural = class_frequencies(tiles.labels[rows], len(tiles.classes))
        return cls((MixturePart(tiles, rows, 1.0),), natural)


class Batches(Protocol):
    """A source of training batches for a classifier."""

    def draw(self, step: int, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images (size, h, w, 3) uint8 and labels (size,) int64 of a step."""


def class_frequencies(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Return the share of each class among labelled tiles, (classes,) float64."""
    counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.float64)
    return np.asarray(counts / max(1.0, counts.sum()))


class Mixture:
    """A mixture of parts. A batch draws for each entry first the class, then the part, then a tile.

    Parameters
    ----------
    parts
        Parts whose shares add up to 1.
    frequencies
        (classes,) probability of each class in a batch; the same in all arms.

    Raises
    ------
    InputError
        No part has a tile of some class.
    """

    def __init__(
        self, parts: Sequence[MixturePart], frequencies: npt.NDArray[np.float64], *, seed: int
    ) -> None:
        self._parts = [part for part in parts if part.share > 0]
        self._frequencies = frequencies
        self._seed = seed
        classes = len(frequencies)
        self._members = [[part.members(c) for c in range(classes)] for part in self._parts]
        self._shares = self._class_shares()

    def draw(self, step: int, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images (size, h, w, 3) uint8 and labels (size,) int64 of a step."""
        draw = rng(self._seed, "mixture", step)
        labels = draw.choice(len(self._frequencies), size=size, p=self._frequencies)
        place = (draw.random(size)[:, None] >= np.cumsum(self._shares[labels], axis=1)[:, :-1]).sum(axis=1)
        position = draw.random(size)
        height, width = self._parts[0].tiles.size
        images = np.empty((size, height, width, 3), np.uint8)
        for index, part in enumerate(self._parts):
            chosen = np.flatnonzero(place == index)
            rows = np.array([self._pick(index, labels[i], position[i]) for i in chosen], dtype=np.int64)
            images[chosen] = part.tiles.images[rows]
        return images, labels.astype(np.int64)

    def _pick(self, part: int, label: Any, position: float) -> int:
        members = self._members[part][label]
        return int(members[int(position * len(members))])

    def _class_shares(self) -> npt.NDArray[np.float64]:
        """Return shares, (classes, parts): the share of a part without a class goes to the others."""
        shares = np.array([part.share for part in self._parts], dtype=np.float64)
        filled = np.array([[len(rows) > 0 for rows in by_class] for by_class in self._members]).T
        weights = shares * filled
        empty = np.flatnonzero((weights.sum(axis=1) == 0) & (self._frequencies > 0))
        if len(empty):
            raise InputError(
                f"class {int(empty[0])} has no tile in this arm; add tiles or use labels: balanced"
            )
        return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))


@dataclass(frozen=True)
class Phases:
    """One mixture up to a step, another from there on: synthetic pretraining, then real tiles."""

    first: Batches
    then: Batches
    switch: int

    def draw(self, step: int, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images (size, h, w, 3) uint8 and labels (size,) int64 of a step."""
        return (self.first if step < self.switch else self.then).draw(step, size)


def batch_frequencies(natural: npt.NDArray[np.float64], balance: Balance) -> npt.NDArray[np.float64]:
    """Return the class frequencies per batch under a balance rule: equal for ``sampler``, else natural."""
    if balance == "sampler":
        present = natural > 0
        return np.asarray(present / present.sum())
    return natural


def loss_weights(natural: npt.NDArray[np.float64], balance: Balance) -> npt.NDArray[np.float32]:
    """Return the weight of each class in the loss: inverse to its frequency for ``loss``, else 1."""
    if balance != "loss":
        return np.ones(len(natural), np.float32)
    weights = np.where(natural > 0, 1 / np.maximum(natural, 1e-12), 0.0)
    return np.asarray(weights / (weights * natural).sum(), dtype=np.float32)
