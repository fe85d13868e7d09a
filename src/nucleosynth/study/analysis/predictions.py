"""Predictions of a study's classifiers on the test patients: read once, as statistics over drawn patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.classify.scoring import part_hash
from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import metric_statistic
from nucleosynth.evaluate.statistics.bootstrap import Statistic
from nucleosynth.files import read_json
from nucleosynth.study.design.arms import CHOSEN
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.design.schedule import arm_jobs, fit_arms, outer_fits
from nucleosynth.study.stages.primary_arm import chosen_arm, read_lock

Crossed = list[list[Statistic]]
"""One statistic per generator and classifier seed."""


class Predictions:
    """Probabilities of the test tiles of all folds, by arm, data fraction, generator and seed.

    An arm counts as finished when all of its classifiers, of all folds, have been scored on the test tiles.
    ``chosen`` is the name for the arm that was chosen in each fold.
    """

    def __init__(self, study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> None:
        self._study, self._out, self._folds = study, out, len(split.folds)
        per_fold = [tiles.rows_of(fold.test) for fold in split.folds] if tiles.classes else []
        rows = [part[tiles.labels[part] >= 0] for part in per_fold]
        self._sizes = [len(part) for part in rows]
        self.test_hashes = [part_hash(tiles, part) for part in rows]
        self.rows = np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64)
        self.fold_of = np.repeat(np.arange(len(rows)), self._sizes)
        self.labels = tiles.labels[self.rows]
        self.groups = tiles.patients[self.rows]
        self.locked = read_lock(out)
        self._known: dict[tuple[str, str, float], Crossed] = {}

    @property
    def rarest_class_patients(self) -> int:
        """Number of test patients with a tile of the rarest class; 0 without tiles."""
        held = [len(np.unique(self.groups[self.labels == label])) for label in np.unique(self.labels)]
        return min(held, default=0)

    def arms(self, fraction: float) -> list[str]:
        """Return the finished arms at a data fraction, in the order of the protocol."""
        arms = fit_arms(self._study, Fit(0, fraction), chosen_arm(self.locked, Fit(0, fraction)))
        return [arm.name for arm in arms if self.finished(arm.name, fraction)]

    def primary(self, fraction: float) -> str | None:
        """Return the primary arm: its name, or ``chosen`` where folds chose different ones."""
        if self.locked is None:
            return None
        names = {chosen_arm(self.locked, fit) for fit in self._fits(fraction)}
        return CHOSEN if len(names) > 1 else next(iter(names), None)

    def arm(self, name: str, fold: int, fraction: float) -> str:
        """Return the arm that a name means in a fold: the same name, except for ``chosen``."""
        if name != CHOSEN:
            return name
        return chosen_arm(self.locked, Fit(fold, fraction)) or name

    def finished(self, arm: str, fraction: float) -> bool:
        """Return whether all runs of an arm, of every fold, have been scored on the test patients."""
        return self.in_every_fold(arm, fraction) and all(map(self._scored, self._jobs(arm, fraction)))

    def in_every_fold(self, arm: str, fraction: float) -> bool:
        """Return whether every fold runs an arm; folds may differ if only chosen arms are tested."""
        return len({job.fit.fold for job in self._jobs(arm, fraction)}) == self._folds

    def crossed(self, arm: str, metric: str, fraction: float) -> Crossed:
        """Return a metric of each generator and classifier seed as a function of drawn patients."""
        key = (arm, metric, fraction)
        if key not in self._known:
            self._known[key] = [
                [self._statistic(metric, found, cuts) for found, cuts in seeds]
                for seeds in self.probabilities(arm, fraction)
            ]
        return self._known[key]

    def _statistic(self, metric: str, probabilities: npt.NDArray[Any], cuts: Any) -> Statistic:
        return metric_statistic(
            metric, probabilities, self.labels, groups=self.groups, threshold=cuts, folds=self.fold_of
        )

    def probabilities(self, arm: str, fraction: float) -> list[list[tuple[npt.NDArray[Any], Any]]]:
        """Return, by generator and seed, (tiles, classes) probabilities and the threshold of each tile.

        Raises
        ------
        InputError
            A run was scored on other test tiles.
        """
        runs: dict[tuple[int, int], list[tuple[npt.NDArray[Any], float | None]]] = {}
        for job in self._jobs(arm, fraction):
            folder = self._out / job.folder
            found = np.load(folder / "test.npy")
            fold = job.fit.fold
            scored_on = read_json(folder / "test.json")["scored_on"]
            if len(found) != self._sizes[fold] or scored_on != self.test_hashes[fold]:
                raise InputError(
                    f"{folder}: was scored on {len(found)} test tiles that are not this study's "
                    f"{self._sizes[fold]}; arms of different test sets cannot be compared"
                )
            threshold = read_json(folder / "result.json")["threshold"]
            runs.setdefault((job.generator, job.seed), []).append((found, threshold))
        generators = sorted({generator for generator, _ in runs})
        return [
            [_joined(parts) for (of, _), parts in sorted(runs.items()) if of == generator]
            for generator in generators
        ]

    def _fits(self, fraction: float) -> list[Fit]:
        return [fit for fit in outer_fits(self._study, self._folds) if fit.fraction == fraction]

    def _jobs(self, arm: str, fraction: float) -> list[Job]:
        jobs: list[Job] = []
        for fit in self._fits(fraction):
            name = self.arm(arm, fit.fold, fraction)
            of_fit = arm_jobs(self._study, fit, chosen_arm(self.locked, fit))
            jobs += [job for job in of_fit if job.name == name]
        return jobs

    def _scored(self, job: Job) -> bool:
        scores: Path = self._out / job.folder / "test.json"
        return scores.exists()


def _joined(parts: list[tuple[npt.NDArray[Any], float | None]]) -> tuple[npt.NDArray[Any], Any]:
    """Join the folds of one generator and seed, each with its own threshold."""
    probabilities = np.concatenate([found for found, _ in parts])
    if any(threshold is None for _, threshold in parts):
        return probabilities, None
    return probabilities, np.concatenate([np.full(len(found), threshold) for found, threshold in parts])
