"""Scores by class: do tiles show their requested class, and do they cover the real tiles of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.classification.metrics import confusion_matrix, decide, metric_statistic
from nucleosynth.evaluate.fidelity.features import Remembering, get_extractor
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.statistics.bootstrap import (
    MINIMUM_PATIENTS,
    Counts,
    Interval,
    Statistic,
    cluster_bootstrap,
    paired_difference,
)

METRICS = ("balanced_accuracy", "auroc")


@dataclass(frozen=True)
class Labelled:
    """Tiles with their classes, and the predictions of several training seeds of a classifier.

    Parameters
    ----------
    labels : (n,) int
        True classes; of synthetic tiles the requested ones.
    patients : (n,) str
        Patients of the tiles; of synthetic tiles those of the donors.
    probabilities : of each seed (n, classes) float
    thresholds : of each seed
        Chosen on validation; None for more than two classes.
    """

    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    probabilities: Sequence[NDArray[np.floating]]
    thresholds: Sequence[float | None]

    def statistics(self, metric: str) -> list[Statistic]:
        """Return the metric of each seed as a function of drawn patients."""
        return [
            metric_statistic(metric, p, self.labels, groups=self.patients, threshold=threshold)
            for p, threshold in zip(self.probabilities, self.thresholds, strict=True)
        ]

    def scores(self) -> dict[str, Any]:
        """Return metrics by seed and their mean, each with its interval over patients, and confusions.

        Confusion matrices have the requested classes as rows.
        """
        found: dict[str, Any] = {metric: self._metric(metric) for metric in METRICS}
        found["confusion"] = [
            confusion_matrix(self.labels, decide(p, threshold), classes=p.shape[1]).tolist()
            for p, threshold in zip(self.probabilities, self.thresholds, strict=True)
        ]
        return {**found, "tiles": len(self.labels), "patients": len(np.unique(self.patients))}

    def _metric(self, metric: str) -> dict[str, Any]:
        seeds = self.statistics(metric)

        def mean(counts: Counts) -> NDArray[np.float64]:
            return np.asarray(np.mean([seed(counts) for seed in seeds], axis=0), dtype=np.float64)

        return {
            **_plain(cluster_bootstrap(mean, self.patients)),
            "seeds": [_plain(cluster_bootstrap(seed, self.patients)) for seed in seeds],
        }


def differences(synthetic: Labelled, real: Labelled) -> dict[str, Any]:
    """Return by how much each metric is higher on synthetic tiles, with its interval.

    Patients of both tile groups (donors, validation patients) and training seeds are drawn, alike for both.
    There is no interval where either group has too few patients.
    """
    groups = np.concatenate([synthetic.patients, real.patients])
    everyone = np.unique(groups)
    few = min(len(np.unique(one.patients)) for one in (synthetic, real)) < MINIMUM_PATIENTS
    found = {}
    for metric in METRICS:
        pair = [
            [_among(everyone, one.patients, statistic) for statistic in one.statistics(metric)]
            for one in (synthetic, real)
        ]
        value = _plain(paired_difference(pair[0], pair[1], groups=groups))
        found[metric] = {**value, "interval": None} if few else value
    return found


def _among(everyone: NDArray[np.str_], own: NDArray[np.str_], statistic: Statistic) -> Statistic:
    """Return a statistic of some patients as one of all: it reads the counts of its own."""
    columns = np.isin(everyone, own)
    return lambda counts: statistic(counts[:, columns])


def _plain(found: Interval) -> dict[str, Any]:
    return {"value": found.estimate, "interval": None if found.lo is None else [found.lo, found.hi]}


class Likeness:
    """KID and coverage of synthetic tiles, over all tiles and by class.

    Parameters
    ----------
    tiles, fold
        Real tiles; synthetic tiles are compared with those of the training patients, and those of the
        validation patients give the *between* reference.
    """

    def __init__(self, tiles: TileSet, fold: Fold, *, seed: int) -> None:
        self.tiles, self.seed = tiles, seed
        self.extractor = Remembering(get_extractor("lite0"))
        self.train, self.held_out = (labelled_rows(tiles, part) for part in (fold.train, fold.validation))

    def scores(self, made: TileSet) -> dict[str, Any]:
        """Return ``all``, at the class frequencies of the training tiles, and each of ``classes``."""
        wanted = self.tiles.labels[self.train]
        every = self._scores(made, in_proportion(made.labels, wanted), self.train, self.held_out)
        classes = {}
        for label, name in enumerate(self.tiles.classes):
            groups = [rows[self.tiles.labels[rows] == label] for rows in (self.train, self.held_out)]
            classes[name] = self._scores(made, np.flatnonzero(made.labels == label), *groups)
        return {"all": every, "classes": classes}

    def _scores(
        self,
        made: TileSet,
        drawn: NDArray[np.int64],
        train: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> dict[str, Any]:
        real, synthetic = _pictures(self.tiles, train), _pictures(made, drawn)
        unseen = _pictures(self.tiles, held_out) if len(held_out) > 1 else None
        near = fidelity(real, synthetic, held_out=unseen, extractor=self.extractor, seed=self.seed)
        return {"tiles": len(drawn), "fidelity": near, "coverage": near["neighbours"]["coverage"]}


def labelled_rows(tiles: TileSet, patients: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of some patients' tiles that have a class."""
    rows = tiles.rows_of(patients)
    return rows[tiles.labels[rows] >= 0]


def in_proportion(labels: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return as many rows as can be had with classes as frequent as among ``wanted``, the first of each."""
    classes = max(labels.max(), wanted.max()) + 1
    counts, shares = np.bincount(labels, minlength=classes), np.bincount(wanted, minlength=classes)
    present = shares > 0
    most = (counts[present] / shares[present]).min()
    numbers = np.floor(most * shares + 1e-9).astype(np.int64)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[: numbers[c]] for c in range(classes)]))


def _pictures(tiles: TileSet, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    return np.asarray(tiles.images[rows]), tiles.patients[rows]


def by_class(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], *, most: int
) -> Mapping[str, NDArray[np.uint8]]:
    """Return the first tiles of each class, equally many of all, at most ``most``."""
    members = {name: np.flatnonzero(labels == label) for label, name in enumerate(classes)}
    count = min(most, *(len(rows) for rows in members.values()))
    return {name: np.asarray(images[rows[:count]]) for name, rows in members.items()}
