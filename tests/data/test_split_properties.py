"""Laws of splits by patient, whatever the patients' sizes and classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nucleosynth.data.split import grouped_folds
from nucleosynth.data.split_rules import SplitConfig, make_split
from nucleosynth.errors import InputError

SEEDS = st.integers(0, 2**16)
# of each patient, the classes of its tiles; -1: without one
COHORTS = st.lists(st.lists(st.integers(-1, 2), min_size=1, max_size=9), min_size=1, max_size=30)


def cohort(tiles_of: list[list[int]]) -> tuple[list[str], np.ndarray]:
    patients = [f"x:{number:02d}" for number, labels in enumerate(tiles_of) for _ in labels]
    return patients, np.array([label for labels in tiles_of for label in labels])


def tileset(tiles_of: list[list[int]]) -> Any:
    """As much of a TileSet as a split asks for; without classes, whose lack would be refused."""
    names, labels = cohort(tiles_of)
    patients = np.array(names)
    return SimpleNamespace(
        patients=patients, labels=labels, classes=(), content_hash="x", path=Path("tiles"),
        rows_of=lambda wanted: np.flatnonzero(np.isin(patients, list(wanted))),
    )  # fmt: skip


@given(COHORTS, st.integers(1, 8), SEEDS)
def test_every_patient_is_in_exactly_one_fold(tiles_of, folds, seed):
    patients, labels = cohort(tiles_of)
    found = grouped_folds(patients, labels, folds=folds, seed=seed)
    assert len(found) == folds
    assert sorted(name for fold in found for name in fold) == sorted(set(patients))
    assert found == grouped_folds(patients, labels, folds=folds, seed=seed)


@given(COHORTS, st.integers(1, 8), SEEDS)
def test_folds_follow_the_patients_and_not_the_order_of_their_tiles(tiles_of, folds, seed):
    patients, labels = cohort(tiles_of)
    mixed = np.random.default_rng(seed).permutation(len(patients))
    again = grouped_folds([patients[i] for i in mixed], labels[mixed], folds=folds, seed=seed)
    assert again == grouped_folds(patients, labels, folds=folds, seed=seed)


@given(st.integers(1, 30), st.integers(1, 8), SEEDS)
def test_patients_alike_are_divided_evenly(count, folds, seed):
    patients, labels = cohort([[0, 1]] * count)
    sizes = [len(fold) for fold in grouped_folds(patients, labels, folds=folds, seed=seed)]
    assert max(sizes) - min(sizes) <= 1


@given(
    COHORTS, SEEDS, st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.2, 0.3), (0.34, 0.33, 0.33), (0.8, 0.1, 0.1)])
)
def test_fractions_put_every_patient_in_exactly_one_part_or_are_refused(tiles_of, seed, fractions):
    tiles = tileset(tiles_of)
    try:
        split = make_split(tiles, SplitConfig(fractions=fractions, seed=seed), Path())
    except InputError as error:
        assert "\n" not in str(error)
        assert len(tiles_of) < 4 or "no patient in" in str(error)
        return
    (fold,) = split.folds
    assert sorted([*fold.train, *fold.validation, *fold.test]) == sorted(set(tiles.patients.tolist()))
    assert fold.train and fold.validation and fold.test


@given(COHORTS, st.integers(3, 6), SEEDS)
def test_each_patient_is_tested_and_validates_once_and_never_trains_where_it_does(tiles_of, count, seed):
    tiles = tileset(tiles_of)
    everyone = sorted(set(tiles.patients.tolist()))
    try:
        split = make_split(tiles, SplitConfig(folds=count, seed=seed), Path())
    except InputError as error:
        assert len(everyone) < 2 * count or "no patient in" in str(error)
        return
    assert len(split.folds) == count
    for part in ("test", "validation"):
        assert sorted(name for fold in split.folds for name in getattr(fold, part)) == everyone
    for fold in split.folds:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == everyone
