"""TileSets and training patients as callers give them: opened, looked up, or refused in one line."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

from nucleosynth.arguments import as_int, as_names, shown
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError

Patients = Split | Fold | Iterable[str]
"""Training patients: of a split, those of the training part of a fold."""
_log = logging.getLogger(__name__)


def as_tileset(tiles: Any, name: str = "tiles") -> TileSet:
    """Return a TileSet; a path is opened.

    Raises
    ------
    InputError
        Neither a TileSet nor the path of one.
    """
    if isinstance(tiles, TileSet):
        return tiles
    if isinstance(tiles, str | os.PathLike):
        return TileSet.open(tiles)  # type: ignore[arg-type]  # one of bytes is refused there
    raise InputError(f"{name} is {shown(tiles)}; expected a TileSet, or the path of one")


def training_patients(tiles: TileSet, patients: Any, *, fold: int = 0) -> list[str]:
    """Return the patients to train on.

    Parameters
    ----------
    patients
        A `Split`, of which the training part of ``fold`` is taken; a `Fold`; or a list of patient ids.
    fold
        Which fold of a split, counted from 0.

    Raises
    ------
    InputError
        Something else, or a fold that the split does not have.
    """
    number = as_int(fold, "fold", least=0)
    if isinstance(patients, Split):
        if number >= len(patients.folds):
            raise InputError(f"fold {number}: the split has {len(patients.folds)}, counted from 0")
        patients = patients.folds[number]
    elif number:
        raise InputError(f"fold {number}: goes with a split; leave it out where patients are listed")
    found = patients.train if isinstance(patients, Fold) else as_names(patients, "patients", such_as="lab:p1")
    absent = sorted(set(found) - set(tiles.patients.tolist()))
    if absent and len(absent) < len(set(found)):
        _log.warning("%s: %d training patients have no tile, such as %s", tiles.path, len(absent), absent[0])
    return list(found)
