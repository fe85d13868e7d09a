"""A fit: a fold, a fraction of its training patients, and the patients who take part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nucleosynth.data.split import Fold, Split, check_fold, class_counts, grouped_folds
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng

DRAWN = 8
"""Of so many patients drawn, the one that keeps a fraction most like the whole joins it next."""


@dataclass(frozen=True)
class Fit:
    """Where everything is fitted anew: generator, filter, threshold and classifier.

    Attributes
    ----------
    fold
        Of the split.
    fraction
        Of the training patients of that fold.
    inner
        One of the folds of these patients by which the primary arm is chosen; None: all of them train, and
        the test patients are scored.
    """

    fold: int = 0
    fraction: float = 1.0
    inner: int | None = None

    @property
    def folder(self) -> str:
        """Directory of the fit, relative to the study's."""
        name = f"fold-{self.fold}" + ("" if self.fraction == 1 else f"-patients-{100 * self.fraction:g}%")
        return name if self.inner is None else f"{name}/choice-{self.inner}"

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def generator(self, number: int) -> str:
        """Directory in which a generator of the fit is trained, relative to the study's."""
        return f"{self.folder}/generator-{number}"

    def pool(self, generator: int) -> str:
        """Directory of the synthetic tiles of a generator."""
        return f"{self.folder}/synthetic-{generator}"

    def selection(self, generator: int, filter_name: str) -> str:
        """Directory in which a filter keeps what it fitted and chose."""
        return f"{self.folder}/selection-{generator}-{filter_name}"

    def scores(self, generator: int) -> str:
        """Directory of the scores of a generator on held-out patients."""
        return f"{self.folder}/scores-{generator}"

    def within(self, count: int) -> list[Fit]:
        """Return the inner folds of this fit."""
        return [replace(self, inner=index) for index in range(count)]


def fit_patients(tiles: TileSet, split: Split, fit: Fit, *, inner: int, seed: int) -> Fold:
    """Return the patients of a fit.

    A fraction below 1 keeps the validation and test patients of the fold. An inner fold validates on its part
    of the training patients and has no test patients.

    Parameters
    ----------
    inner
        Number of inner folds.

    Raises
    ------
    InputError
        A part that lacks a class, or has fewer than two patients.
    """
    fold = split.folds[fit.fold]
    train = draw_data_fraction(tiles, fold.train, fit.fraction, seed=seed)
    if fit.inner is None:
        found = Fold(train=train, validation=fold.validation, test=fold.test)
    else:
        parts = _parts(tiles, train, inner, seed=seed)
        validation = parts[fit.inner]
        found = Fold(train=sorted(set(train) - set(validation)), validation=validation)
    check_fold(tiles, found, fit.folder, warn=fit.inner is not None)  # of the split's it was warned
    return found


def draw_data_fraction(tiles: TileSet, patients: list[str], fraction: float, *, seed: int) -> list[str]:
    """Return a fraction of the patients, with about that fraction of the tiles of each class.

    A smaller fraction is part of a larger one.
    """
    if fraction == 1:
        return sorted(patients)
    rows = np.flatnonzero(np.isin(tiles.patients, patients))
    names, counts = class_counts(tiles.patients[rows].tolist(), tiles.labels[rows])
    left = rng(seed, "share of patients").permutation(len(names)).tolist()
    whole = counts.sum(0)
    weight = 1 / np.maximum(whole, 1)
    taken: list[int] = []
    have = np.zeros_like(whole)
    while len(taken) < max(1, round(fraction * len(names))):
        aim = whole * (len(taken) + 1) / len(names)
        off = ((have + counts[left[:DRAWN]] - aim) * weight) ** 2
        taken.append(left.pop(int(np.argmin(off.sum(1)))))
        have = have + counts[taken[-1]]
    return sorted(names[taken].tolist())


def _parts(tiles: TileSet, patients: list[str], count: int, *, seed: int) -> list[list[str]]:
    if len(patients) < count:
        raise InputError(f"{len(patients)} training patients cannot be parted into {count} inner folds")
    rows = np.flatnonzero(np.isin(tiles.patients, patients))
    return grouped_folds(tiles.patients[rows].tolist(), tiles.labels[rows], folds=count, seed=seed)
