"""Patient-level splits: the file, its parts, and the leakage check."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from nucleosynth.arguments import as_path
from nucleosynth.config import Config, parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_json
from nucleosynth.seeds import rng

_log = logging.getLogger(__name__)


class Fold(Config):
    """Patients of one train/validation/test division."""

    train: list[str]
    validation: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _disjoint(self) -> Fold:
        known: dict[str, str] = {}
        for part in ("train", "validation", "test"):
            for patient in getattr(self, part):
                if known.setdefault(patient, part) != part:
                    raise ValueError(
                        f"patient {patient} is in {known[patient]} and {part}; keep it in one part"
                    )
        return self


class Split(Config):
    """The split file: a fixed split has one fold."""

    schema_version: int = Field(1, alias="schema", le=1)
    rule: str
    seed: int | None = None
    tileset_hash: str | None = None
    folds: list[Fold] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path | str) -> Split:
        """Read a split file; a patient in two parts is named."""
        path = as_path(path, "path")
        return parse(cls, read_json(path), source=str(path))

    def save(self, path: Path | str) -> None:
        """Write the split file."""
        write_json(as_path(path, "path"), self.model_dump(by_alias=True))


def check_split(tiles: TileSet, split: Split) -> None:
    """Refuse a split that does not fit these tiles; the message names the patient or class."""
    known = set(tiles.patients.tolist()) - {""}
    for number, fold in enumerate(split.folds):
        leaked = sorted({*fold.train, *fold.validation, *fold.test} - known)
        if leaked:
            raise InputError(f"split fold {number}: patient {leaked[0]} has no tile in {tiles.path}")
        if not fold.test:
            raise InputError(
                f"split fold {number}: no patient in test; each of train, validation and test needs one "
                f"({len(known)} known)"
            )
        check_fold(tiles, fold, f"split fold {number}", fewest=1)


def check_fold(tiles: TileSet, fold: Fold, name: str, *, fewest: int = 2, warn: bool = True) -> None:
    """Refuse a fold one of whose parts cannot be used.

    Training and test need every class, and so many patients at least. Of validation it is warned, unless it
    was before: tiles of one class leave the threshold where it is, one patient does not speak for others.
    """
    for part in ("train", "validation"):
        if not getattr(fold, part):
            raise InputError(f"{name}: no patient in {part}; each of train, validation and test needs one")
    for part in ("train", "validation", "test"):
        patients: list[str] = getattr(fold, part)
        labels = tiles.labels[tiles.rows_of(patients)]
        missing = [label for index, label in enumerate(tiles.classes) if patients and index not in labels]
        if part == "validation":
            if missing and warn:
                _log.warning("%s: class `%s` has no validation tile", name, missing[0])
            if len(patients) == 1 and warn:
                _log.warning("%s: one validation patient; what is chosen by it may not hold for others", name)
            continue
        if missing:
            what = {"train": "training", "test": "test"}[part]
            raise InputError(f"{name}: class `{missing[0]}` has no {what} tile; move a patient or drop it")
        if 0 < len(patients) < fewest:
            raise InputError(f"{name}: one patient in {part}; each of training and test needs two")


def require_no_leakage(artefact: str, trained_on: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse an artefact that was trained on a patient outside the allowed part."""
    leaked = sorted(set(trained_on) - set(allowed))
    if leaked:
        raise InputError(
            f"{artefact}: was trained on patient {leaked[0]}, who is outside the training part of this "
            "study; fit it again on training patients only"
        )


def grouped_folds(
    patients: Sequence[str], labels: npt.NDArray[np.int64], *, folds: int, seed: int
) -> list[list[str]]:
    """Divide patients into folds of like size and class mix, the largest first, each to the fold it suits.

    A greedy form of stratified grouping: the fold whose class counts stay closest to its fair share takes the
    patient. Ties and order come from ``seed``.
    """
    names, counts = class_counts(patients, labels)
    order = rng(seed, "split").permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    weight = 1 / np.maximum(counts.sum(0), 1)
    filled = np.zeros((folds, counts.shape[1]))
    members: list[list[str]] = [[] for _ in range(folds)]
    for index in order:
        after = ((filled + counts[index]) * weight) ** 2 - (filled * weight) ** 2
        best = int(np.argmin(after.sum(1) + 1e-6 * np.array([len(m) for m in members])))
        filled[best] += counts[index]
        members[best].append(str(names[index]))
    return [sorted(fold) for fold in members]


def class_counts(
    patients: Sequence[str], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Return the patients, sorted, and how many tiles of each class they have, (n, classes + 1).

    The first column counts tiles without a class.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=-1)) + 2))
    np.add.at(counts, (owner, labels + 1), 1)
    return names, counts
