"""Splits by patient: the file, the rules that make one, and the check that nothing fitted saw a stranger."""

from __future__ import annotations

import csv
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from nucleosynth.config import Config, parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.runs import read_json, write_json
from nucleosynth.seeds import rng


class Fold(Config):
    """Patients of one train/validation/test division."""

    train: list[str]
    validation: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _disjoint(self) -> Fold:
        seen: dict[str, str] = {}
        for part in ("train", "validation", "test"):
            for patient in getattr(self, part):
                if seen.setdefault(patient, part) != part:
                    raise ValueError(
                        f"patient {patient} is in {seen[patient]} and {part}; keep it in one part"
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
    def load(cls, path: Path) -> Split:
        """Read a split file; a patient in two parts is named."""
        return parse(cls, read_json(path), source=str(path))

    def save(self, path: Path) -> None:
        """Write the split file."""
        write_json(path, self.model_dump(by_alias=True))


class OfficialSplit(Config):
    """A published table that lists the patients of one part; all others form the rest."""

    table: str
    patient: str = Field(description="format over the table's columns, such as '{dataset}:{slide}'")
    part: str = "train"
    rest: str = "test"


class ValidationConfig(Config):
    """Who of the training part validates: the first of so many folds, or those that a table lists."""

    folds: int = Field(5, ge=2)
    table: str | None = None
    patient: str | None = Field(None, description="format over the table's columns")

    @model_validator(mode="after")
    def _one_rule(self) -> ValidationConfig:
        if (self.table is None) != (self.patient is None):
            raise ValueError("`table` and `patient` need each other")
        return self


class SplitConfig(Config):
    """The `split` section of a study: a file, a published table, or fractions of patients."""

    file: str | None = None
    official: OfficialSplit | None = None
    fractions: tuple[float, float, float] | None = Field(None, description="train, validation, test")
    validation: ValidationConfig = ValidationConfig(folds=5)
    seed: int = 0

    @model_validator(mode="after")
    def _one_rule(self) -> SplitConfig:
        if sum(rule is not None for rule in (self.file, self.official, self.fractions)) != 1:
            raise ValueError("give exactly one of `file`, `official`, `fractions`")
        if self.fractions is not None and (min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6):
            raise ValueError("`fractions` must be three shares that add up to 1")
        if self.validation.table is not None and self.official is None:
            raise ValueError("`validation.table` is of an `official` split; leave it out")
        return self


def make_split(tiles: TileSet, config: SplitConfig, root: Path) -> Split:
    """Make the split of a TileSet by the rule in ``config``; paths are relative to ``root``.

    Raises
    ------
    InputError
        A part without patients, a class without a training tile, an unknown patient in the file.
    """
    if config.file is not None:
        split = Split.load(root / config.file)
        split = split.model_copy(update={"tileset_hash": tiles.content_hash})
    elif config.official is not None:
        split = _official(tiles, config, config.official, root)
    else:
        split = _fractions(tiles, config)
    check_split(tiles, split)
    return split


def check_split(tiles: TileSet, split: Split) -> None:
    """Refuse a split that cannot be used with these tiles, naming the patient or class."""
    known = set(tiles.patients.tolist()) - {""}
    for number, fold in enumerate(split.folds):
        strangers = sorted({*fold.train, *fold.validation, *fold.test} - known)
        if strangers:
            raise InputError(f"split fold {number}: patient {strangers[0]} has no tile in {tiles.path}")
        for part in ("train", "validation", "test"):
            if not getattr(fold, part):
                raise InputError(
                    f"split fold {number}: no patient in {part}; each of train, "
                    f"validation and test needs one ({len(known)} known)"
                )
        labels = tiles.labels[tiles.rows_of(fold.train)]
        missing = [name for index, name in enumerate(tiles.classes) if not np.any(labels == index)]
        if missing:
            raise InputError(
                f"split fold {number}: class `{missing[0]}` has no training tile; move a patient or drop it"
            )


def require_unseen(artefact: str, saw: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse an artefact that saw a patient outside the part it may have been fitted on."""
    strangers = sorted(set(saw) - set(allowed))
    if strangers:
        raise InputError(
            f"{artefact}: saw patient {strangers[0]}, who is outside the training part of this study; "
            "fit it again on training patients only"
        )


def grouped_folds(
    patients: Sequence[str], labels: npt.NDArray[np.int64], *, folds: int, seed: int
) -> list[list[str]]:
    """Divide patients into folds of like size and class mix, the largest first, each to the fold it suits.

    A greedy form of stratified grouping: the fold whose class counts stay closest to its fair share takes the
    patient. Ties and order come from ``seed``.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    classes = int(labels.max(initial=-1)) + 2
    counts = np.zeros((len(names), classes))
    np.add.at(counts, (owner, labels + 1), 1)
    order = rng(seed, "split").permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    weight = 1 / np.maximum(counts.sum(0), 1)
    filled = np.zeros((folds, classes))
    members: list[list[str]] = [[] for _ in range(folds)]
    for index in order:
        after = ((filled + counts[index]) * weight) ** 2 - (filled * weight) ** 2
        best = int(np.argmin(after.sum(1) + 1e-6 * np.array([len(m) for m in members])))
        filled[best] += counts[index]
        members[best].append(str(names[index]))
    return [sorted(fold) for fold in members]


def _official(tiles: TileSet, config: SplitConfig, official: OfficialSplit, root: Path) -> Split:
    listed = _listed_patients(root / official.table, official.patient, tiles)
    everyone = set(tiles.patients.tolist()) - {""}
    named, rest = everyone & listed, everyone - listed
    if not named:
        raise InputError(
            f"{root / official.table}: names no patient of the tiles; check `patient: {official.patient}`"
        )
    parts = {official.part: named, official.rest: rest}
    if set(parts) != {"train", "test"}:
        raise InputError("split.official: `part` and `rest` must be train and test, in either order")
    chosen = config.validation
    if chosen.table is not None and chosen.patient is not None:
        listed = _listed_patients(root / chosen.table, chosen.patient, tiles) & parts["train"]
        if not listed:
            raise InputError(f"{root / chosen.table}: names no training patient; check `validation.patient`")
        train, validation = sorted(parts["train"] - listed), sorted(listed)
        how = f"validation: the training patients of {chosen.table}"
    else:
        train, validation = _hold_out(tiles, sorted(parts["train"]), config)
        how = f"validation: 1 of {chosen.folds} folds of the training part, by patient"
    fold = Fold(train=train, validation=validation, test=sorted(parts["test"]))
    rule = f"official {official.table}; {how}"
    return Split(rule=rule, seed=config.seed, tileset_hash=tiles.content_hash, folds=[fold])


def _hold_out(tiles: TileSet, patients: list[str], config: SplitConfig) -> tuple[list[str], list[str]]:
    rows = tiles.rows_of(patients)
    count = config.validation.folds
    folds = grouped_folds(tiles.patients[rows].tolist(), tiles.labels[rows], folds=count, seed=config.seed)
    return sorted(p for fold in folds[1:] for p in fold), folds[0]


def _fractions(tiles: TileSet, config: SplitConfig) -> Split:
    assert config.fractions is not None
    rows = np.flatnonzero(tiles.patients != "")
    grain = 20
    names = tiles.patients[rows].tolist()
    if len(set(names)) < 3:
        raise InputError(f"{tiles.path}: {len(set(names))} patient(s); a split by patient needs at least 3")
    pieces = grouped_folds(names, tiles.labels[rows], folds=min(grain, len(set(names))), seed=config.seed)
    pieces = [piece for piece in pieces if piece]
    sizes = [max(1, round(share * len(pieces))) if share else 0 for share in config.fractions[1:]]
    validation = sorted(p for piece in pieces[: sizes[0]] for p in piece)
    test = sorted(p for piece in pieces[sizes[0] : sum(sizes)] for p in piece)
    train = sorted(p for piece in pieces[sum(sizes) :] for p in piece)
    rule = "by patient, stratified: train/validation/test " + "/".join(
        f"{share:g}" for share in config.fractions
    )
    fold = Fold(train=train, validation=validation, test=test)
    return Split(rule=rule, seed=config.seed, tileset_hash=tiles.content_hash, folds=[fold])


def _listed_patients(table: Path, pattern: str, tiles: TileSet) -> set[str]:
    """Read the patients of a published table; ids may lack the ``<dataset>:`` of the TileSet."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(
            f"{table}: cannot be read ({error.strerror}); give the published split's CSV"
        ) from None
    columns: Mapping[str, object] = rows[0] if rows else {}
    for _, name, _, _ in string.Formatter().parse(pattern):
        if name is not None and name not in columns:
            raise InputError(
                f"{table}: no column `{name}` for `patient: {pattern}`; it has {', '.join(columns)}"
            )
    listed = {pattern.format(**row) for row in rows}
    known = set(tiles.patients.tolist())
    prefixes = {patient.split(":", 1)[0] for patient in known if ":" in patient}
    return listed | {f"{prefix}:{patient}" for prefix in prefixes for patient in listed}
