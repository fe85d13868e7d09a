"""A fit: a fold, a fraction of its training patients, and the patients of its parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nucleosynth.data.split import Fold, Split, check_fold, class_counts, grouped_folds
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng

DRAWN = 8
"""Number of patients drawn at each step; the one that keeps the fraction most like the whole is added."""


@dataclass(frozen=True)
class Fit:
    """One set of training patients on which generator, filter, threshold and classifier are fitted anew.

    Attributes
    ----------
    fold
        Number of the fold of the split.
    fraction
        Fraction of the training patients of that fold.
    inner
        Number of the inner fold of these patients that is used to choose the primary arm; None: all of them
        train, and the test patients are scored.
    """

    fold: int = 0
    fraction: float = 1.0
    inner: int | None = None

    @property
    def folder(self) -> str:
        """Directory of the fit, relative to that of the study."""
        name = f"fold-{self.fold}" + ("" if self.fraction == 1 else f"-patients-{100 * self.fraction:g}%")
        return name if self.inner is None else f"{name}/choice-{self.inner}"

    def generator(self, number: int) -> str:
        """Return the directory in which a generator of the fit is trained, relative to that of the study."""
        return f"{self.folder}/generator-{number}"

    def pool(self, generator: int) -> str:
        """Return the directory of the synthetic tiles of a generator."""
        return f"{self.folder}/synthetic-{generator}"

    def selection(self, generator: int, filter_name: str) -> str:
        """Return the directory in which a filter stores what it fitted and chose."""
        return f"{self.folder}/selection-{generator}-{filter_name}"

    def scores(self, generator: int) -> str:
        """Return the directory of the scores of a generator on held-out patients."""
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
        A part lacks a class, or has fewer than two patients.
    """
    fold = split.folds[fit.fold]
    train = draw_data_fraction(tiles, fold.train, fit.fraction, seed=seed)
    if fit.inner is None:
        found = Fold(train=train, validation=fold.validation, test=fold.test)
    else:
        parts = _parts(tiles, train, inner, seed=seed)
        validation = parts[fit.inner]
        found = Fold(train=sorted(set(train) - set(validation)), validation=validation)
    check_fold(tiles, found, fit.folder, warn=fit.inner is not None)  # for the split it was logged before
    return found


def draw_data_fraction(tiles: TileSet, patients: list[str], fraction: float, *, seed: int) -> list[str]:
    """Draw a fraction of the patients, with about that fraction of the tiles of each class.

    A smaller fraction is a subset of a larger one.
    """
    if fraction == 1:
        return sorted(patients)
    rows = np.flatnonzero(np.isin(tiles.patients, patients))
    names, counts = class_counts(tiles.patients[rows].tolist(), tiles.labels[rows])
    left = rng(seed, "share of patients").permutation(len(names)).tolist()
    whole = counts.sum(0)
    weight = 1 / np.maximum(whole, 1)
    drawn: list[int] = []
    have = np.zeros_like(whole)
    while len(drawn) < max(1, round(fraction * len(names))):
        aim = whole * (len(drawn) + 1) / len(names)
        off = ((have + counts[left[:DRAWN]] - aim) * weight) ** 2
        drawn.append(left.pop(int(np.argmin(off.sum(1)))))
        have = have + counts[drawn[-1]]
    return sorted(names[drawn].tolist())


def _parts(tiles: TileSet, patients: list[str], count: int, *, seed: int) -> list[list[str]]:
    if len(patients) < count:
        raise InputError(f"{len(patients)} training patients cannot be divided into {count} inner folds")
    rows = np.flatnonzero(np.isin(tiles.patients, patients))
    return grouped_folds(tiles.patients[rows].tolist(), tiles.labels[rows], folds=count, seed=seed)
