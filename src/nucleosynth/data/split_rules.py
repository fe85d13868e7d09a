"""Rules for patient-level splits: a file, a published table or column, fractions, or folds."""

from __future__ import annotations

import csv
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from nucleosynth.arguments import as_int, as_path
from nucleosynth.config import Config, parse
from nucleosynth.data.inputs import as_tileset
from nucleosynth.data.split import Fold, Split, check_split, grouped_folds
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError

FRACTIONS = (0.7, 0.15, 0.15)
"""Shares of the patients for training, validation and test, where nothing else is said."""


class OfficialSplit(Config):
    """A published split: the patients of one part are listed by a table, or marked in a column of the tiles.

    All others form the rest.
    """

    table: str | None = None
    patient: str | None = Field(None, description="format over the table's columns: '{dataset}:{slide}'")
    column: str | None = Field(None, description="a column of the TileSet, in place of a table")
    value: str | None = Field(None, description="what the column says of tiles of this part")
    part: str = "train"
    rest: str = "test"

    @model_validator(mode="after")
    def _one_place(self) -> OfficialSplit:
        given = [value is not None for value in (self.table, self.patient, self.column, self.value)]
        if given not in ([True, True, False, False], [False, False, True, True]):
            raise ValueError("give `table` and `patient`, or `column` and `value`")
        return self


class ValidationConfig(Config):
    """Validation patients within the training part: the first of several folds, or a table."""

    folds: int = Field(5, ge=2)
    table: str | None = None
    patient: str | None = Field(None, description="format over the table's columns")

    @model_validator(mode="after")
    def _one_rule(self) -> ValidationConfig:
        if (self.table is None) != (self.patient is None):
            raise ValueError("`table` and `patient` need each other")
        return self


class SplitConfig(Config):
    """The `split` section of a study: a file, a published table, fractions of patients, or folds of them."""

    file: str | None = None
    official: OfficialSplit | None = None
    fractions: tuple[float, float, float] | None = Field(None, description="train, validation, test")
    folds: int | None = Field(
        None,
        ge=3,
        description="so many folds of like class mix: each is the test part once, the next one validates",
    )
    validation: ValidationConfig = ValidationConfig(folds=5)
    seed: int = 0

    @model_validator(mode="after")
    def _one_rule(self) -> SplitConfig:
        rules = (self.file, self.official, self.fractions, self.folds)
        if sum(rule is not None for rule in rules) != 1:
            raise ValueError("give exactly one of `file`, `official`, `fractions`, `folds`")
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
    elif config.folds is not None:
        split = _folds(tiles, config.folds, config.seed)
    else:
        split = _fractions(tiles, config)
    check_split(tiles, split)
    return split


def split(
    tiles: TileSet,
    *,
    fractions: Sequence[float] | None = None,
    folds: int | None = None,
    seed: int = 0,
    out: Path | str | None = None,
) -> Split:
    """Split a TileSet by patient: all tiles of a patient are in one part. The mix of classes is kept alike.

    Parameters
    ----------
    tiles
        A TileSet, or the path of one.
    fractions
        Shares of the patients for training, validation and test, which add up to 1; None: `FRACTIONS`.
    folds
        In place of fractions: so many folds, 3 or more. Each is the test part once, the next one validates.
    seed
        Another seed gives another split.
    out
        File to write the split to; None: it is only returned.

    Raises
    ------
    InputError
        Shares that do not add up to 1, too few patients, a class without a tile in a part.
    """
    opened = as_tileset(tiles)
    path = None if out is None else as_path(out, "out")
    shares = fractions.tolist() if isinstance(fractions, np.ndarray) else fractions
    rule: dict[str, object] = {"seed": as_int(seed, "seed")}
    rule |= {name: value for name, value in (("fractions", shares), ("folds", folds)) if value is not None}
    config = parse(SplitConfig, {"fractions": FRACTIONS, **rule} if len(rule) == 1 else rule, source="split")
    made = make_split(opened, config, Path())
    if path is not None:
        made.save(path)
    return made


def _official(tiles: TileSet, config: SplitConfig, official: OfficialSplit, root: Path) -> Split:
    where, listed = _published(tiles, official, root)
    everyone = set(tiles.patients.tolist()) - {""}
    named, rest = everyone & listed, everyone - listed
    if not named:
        raise InputError(f"{where}: names no patient of the tiles; check the section `split.official`")
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
    rule = f"official {official.table or official.column}; {how}"
    return Split(rule=rule, seed=config.seed, tileset_hash=tiles.content_hash, folds=[fold])


def _published(tiles: TileSet, official: OfficialSplit, root: Path) -> tuple[str, set[str]]:
    """Return the location of a published split, and the patients of its part."""
    if official.table is not None and official.patient is not None:
        table = root / official.table
        return str(table), _listed_patients(table, official.patient, tiles)
    name = str(official.column)
    marked = np.array([str(value) for value in tiles.column(name)]) == official.value
    return f"{tiles.path}, column {name}", set(tiles.patients[marked].tolist())


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


def _folds(tiles: TileSet, count: int, seed: int) -> Split:
    rows = np.flatnonzero(tiles.patients != "")
    names = tiles.patients[rows].tolist()
    if len(set(names)) < 2 * count:
        raise InputError(
            f"{tiles.path}: {len(set(names))} patient(s); {count} folds need two patients each, "
            f"{2 * count} in all"
        )
    parts = grouped_folds(names, tiles.labels[rows], folds=count, seed=seed)
    folds = []
    for index, test in enumerate(parts):
        validation = parts[(index + 1) % count]
        held_out = {*test, *validation}
        train = sorted(set(names) - held_out)
        folds.append(Fold(train=train, validation=validation, test=test))
    rule = f"by patient, stratified: {count} folds, each the test part once"
    return Split(rule=rule, seed=seed, tileset_hash=tiles.content_hash, folds=folds)


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
