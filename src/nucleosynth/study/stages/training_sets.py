"""The training set of each arm: real tiles of the training patients, and the tiles that the arm adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nucleosynth.classify.mixture import MixturePart, TrainingSet
from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.seeds import rng
from nucleosynth.study.design.arms import Arm
from nucleosynth.study.stages.context import FitContext

SELECTION = "selection.json"


@dataclass(frozen=True)
class Pool:
    """Synthetic tiles, and the rows that an arm may use."""

    tiles: TileSet
    rows: npt.NDArray[np.int64]

    @classmethod
    def open(cls, context: FitContext, generator: int, *, kept_by: str | None = None) -> Pool:
        """Open the pool of a generator, or the selection that a filter keeps of it.

        Raises
        ------
        InputError
            Generator, donors or filter depend on a patient outside the training part of the fit.
        """
        fit, train = context.fit, context.patients.train
        path = context.path(fit.pool(generator))
        tiles = TileSet.open(path)
        require_no_leakage(str(path), training_patients(tiles), train)
        if kept_by is None:
            return cls(tiles, np.arange(len(tiles)))
        stored = context.path(fit.selection(generator, kept_by)) / SELECTION
        found = read_json(stored)
        require_no_leakage(str(stored), found["patients"], train)
        return cls(tiles, np.array(found["rows"], dtype=np.int64))


def training_patients(pool: TileSet) -> set[str]:
    """Return the patients of a pool: those its generator was trained on, and the donors of its tiles.

    Raises
    ------
    InputError
        The pool has no record of the training patients of its generator.
    """
    trained_on = pool.info["provenance"].get("patients")
    if trained_on is None:
        raise InputError(
            f"{pool.path}: has no record of the patients its generator was trained on; draw it with "
            "`nucleosynth sample`"
        )
    return {*trained_on, *(str(patient) for patient in pool.patients if patient)}


def arm_training_set(context: FitContext, arm: Arm, pool: Pool | None) -> TrainingSet:
    """Return the training set of an arm.

    Only tiles of the training patients of the fit are read, except by ``held-back``, which adds those of the
    training patients that the data fraction leaves out.

    Raises
    ------
    InputError
        A dose needs more tiles than there are, or there is nothing to add.
    """
    tiles, real = context.tiles, _labelled(context.tiles, context.patients.train)
    alone = replace(TrainingSet.of(tiles, real), balance=arm.balance, strong=arm.kind == "augmented")
    if arm.dose is None:
        return alone
    if arm.kind == "held-back":
        pool = Pool(tiles, _labelled(tiles, context.left_out))
    assert pool is not None
    added = _added(arm, tiles.labels[real], pool, seed=context.study.seed)
    if arm.kind == "pretrained":
        return replace(alone, first=(added,), first_share=float(arm.dose))
    if arm.kind == "synthetic-only":
        return replace(alone, parts=(added,))
    share = arm.dose if isinstance(arm.dose, float) else arm.dose / (arm.dose + len(real))
    return replace(alone, parts=(MixturePart(tiles, real, 1.0 - share), replace(added, share=share)))


def _added(arm: Arm, real_labels: npt.NDArray[np.int64], pool: Pool, *, seed: int) -> MixturePart:
    """Return the tiles that an arm adds, as a mixture part with share 1."""
    rows = pool.rows
    if arm.kind == "rare-only":
        rows = rows[pool.tiles.labels[rows] != np.bincount(real_labels).argmax()]
    if isinstance(arm.dose, int):
        if arm.dose > len(rows):
            raise InputError(
                f"arm {arm.name}: the pool holds {len(rows)} tiles; raise synthesis.tiles to {arm.dose}"
            )
        rows = rows[: arm.dose]
    if not len(rows):
        raise InputError(f"arm {arm.name}: nothing to add; use labels: balanced, or leave the arm out")
    labels = None
    if arm.kind == "shuffled":
        labels = rng(seed, "shuffled-labels").permutation(pool.tiles.labels[rows])
    return MixturePart(pool.tiles, rows, 1.0, labels)


def _labelled(tiles: TileSet, patients: Sequence[str]) -> npt.NDArray[np.int64]:
    rows = tiles.rows_of(patients)
    return rows[tiles.labels[rows] >= 0]
