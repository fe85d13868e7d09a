"""Splits: patients never cross parts, and every refusal names one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nucleosynth.config import parse
from nucleosynth.data.split import Fold, Split, check_fold, check_split, grouped_folds, require_no_leakage
from nucleosynth.data.split_rules import SplitConfig, make_split
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import write_tileset
from nucleosynth.errors import InputError


@pytest.fixture
def tiles(tmp_path):
    def rows():
        for index in range(120):
            patient = f"d:p{index % 12:02d}"
            yield Tile(
                tile_id=f"d:{index}",
                patient_id=patient,
                label=int(index % 5 == 0),
                mpp=0.5,
                image=np.zeros((8, 8, 3), np.uint8),
            )

    return write_tileset(tmp_path / "tiles", rows(), classes=["a", "b"])


def test_fractions_cut_by_patient_and_repeat(tiles, tmp_path):
    config = SplitConfig(fractions=(0.5, 0.25, 0.25), seed=1)
    fold = make_split(tiles, config, tmp_path).folds[0]
    parts = [fold.train, fold.validation, fold.test]
    assert sorted(p for part in parts for p in part) == sorted(set(tiles.patients.tolist()))
    assert [len(part) for part in parts] == [6, 3, 3]
    assert make_split(tiles, config, tmp_path).folds[0] == fold
    assert make_split(tiles, SplitConfig(fractions=(0.5, 0.25, 0.25), seed=2), tmp_path).folds[0] != fold


def test_grouped_folds_balance_size_and_classes():
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in rng.integers(40, size=1000)]
    labels = (rng.random(1000) < 0.2).astype(np.int64)
    folds = grouped_folds(patients, labels, folds=5, seed=0)
    assert sorted(p for fold in folds for p in fold) == sorted(set(patients))
    sizes = [sum(p in fold for p in patients) for fold in folds]
    shares = [np.mean([y for p, y in zip(patients, labels, strict=True) if p in fold]) for fold in folds]
    assert max(sizes) - min(sizes) < 60
    assert max(shares) - min(shares) < 0.08


def test_a_published_table_names_the_training_part(tiles, tmp_path):
    (tmp_path / "train.csv").write_text("slide\n" + "".join(f"p{i:02d}\n" for i in range(8)))
    official = {"table": "train.csv", "patient": "{slide}"}
    config = SplitConfig.model_validate({"official": official, "validation": {"folds": 4}})
    fold = make_split(tiles, config, tmp_path).folds[0]
    assert sorted([*fold.train, *fold.validation]) == [f"d:p{i:02d}" for i in range(8)]
    assert fold.test == [f"d:p{i:02d}" for i in range(8, 12)]
    assert len(fold.validation) == 2


def test_a_split_file_round_trips(tmp_path):
    split = Split(rule="mine", seed=3, folds=[Fold(train=["a"], validation=["b"], test=["c"])])
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    assert json.loads((tmp_path / "split.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("fold", "words"),
    [
        (
            {"train": ["d:p00"], "validation": ["d:p01"], "test": ["d:p00"]},
            "patient d:p00 is in train and test",
        ),
        ({"train": ["d:p00"], "validation": ["d:p01"], "test": ["d:p77"]}, "patient d:p77 has no tile"),
        ({"train": ["d:p00"], "validation": ["d:p01"], "test": []}, "no patient in test"),
        ({"train": ["d:p00"], "validation": [], "test": ["d:p01"]}, "no patient in validation"),
    ],
)
def test_an_unsound_split_is_refused(tiles, tmp_path, fold, words):
    (tmp_path / "split.json").write_text(json.dumps({"rule": "mine", "folds": [fold]}))
    with pytest.raises(InputError, match=words):
        make_split(tiles, SplitConfig(file="split.json"), tmp_path)


def test_one_patient_cannot_be_split(tmp_path):
    tile = Tile(tile_id="d:0", patient_id="d:p", label=0, image=np.zeros((8, 8, 3), np.uint8))
    tiles = write_tileset(tmp_path / "one", [tile], classes=["a"])
    with pytest.raises(InputError, match=r"1 patient\(s\); a split by patient needs at least 3"):
        make_split(tiles, SplitConfig(fractions=(0.6, 0.2, 0.2)), tmp_path)


def test_a_class_without_a_training_tile_is_named(tiles):
    without = [p for p in sorted(set(tiles.patients.tolist())) if not tiles.labels[tiles.rows_of([p])].any()]
    rest = sorted(set(tiles.patients.tolist()) - set(without))
    assert without == [], "every patient has class b here"
    split = Split(rule="x", folds=[Fold(train=rest[:2], validation=rest[2:3], test=rest[3:5])])
    check_split(tiles, split)
    rare = Split(rule="x", folds=[Fold(train=rest[:2], validation=rest[2:3], test=rest[3:5])])
    tiles.__dict__["labels"] = np.zeros(len(tiles), np.int64)
    with pytest.raises(InputError, match="class `b` has no training tile"):
        check_split(tiles, rare)


def test_a_study_refuses_one_patient_in_training_or_test_and_warns_of_one_in_validation(tiles, caplog):
    names = sorted(set(tiles.patients.tolist()))
    for part, sizes in (("train", (1, 2, 2)), ("test", (2, 2, 1))):
        ends = np.cumsum(sizes)
        parts = [names[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        alone = Fold(train=parts[0], validation=parts[1], test=parts[2])
        with pytest.raises(InputError, match=f"fold 0: one patient in {part}; each of training and test"):
            check_fold(tiles, alone, "fold 0")
        check_split(tiles, Split(rule="x", folds=[alone]))
    check_fold(tiles, Fold(train=names[:2], validation=names[2:3], test=names[3:5]), "fold 0")
    assert "one validation patient" in caplog.text


def test_a_published_split_may_stand_in_a_column(tmp_path):
    def rows():
        for index in range(60):
            yield Tile(
                tile_id=f"d:{index}",
                patient_id=f"d:p{index % 10}",
                label=index % 3 % 2,
                image=np.full((8, 8, 3), index, np.uint8),
                extra={"part": "training" if index % 10 < 7 else "test"},
            )

    tiles = write_tileset(tmp_path / "parts", rows(), classes=["a", "b"])
    config = {"official": {"column": "part", "value": "training"}, "validation": {"folds": 3}}
    (fold,) = make_split(tiles, parse(SplitConfig, config), tmp_path).folds
    assert fold.test == ["d:p7", "d:p8", "d:p9"]
    assert len(fold.train) + len(fold.validation) == 7
    with pytest.raises(InputError, match="no column `slice`"):
        make_split(tiles, parse(SplitConfig, {"official": {"column": "slice", "value": "x"}}), tmp_path)
    with pytest.raises(InputError, match="column part: names no patient"):
        make_split(tiles, parse(SplitConfig, {"official": {"column": "part", "value": "x"}}), tmp_path)
    with pytest.raises(InputError, match="give `table` and `patient`, or `column` and `value`"):
        parse(SplitConfig, {"official": {"column": "part", "table": "x.csv"}})


def test_folds_test_every_patient_once_and_validate_by_the_next(tiles, tmp_path):
    names = set(tiles.patients.tolist())
    found = make_split(tiles, SplitConfig(folds=3, seed=2), tmp_path)
    assert len(found.folds) == 3
    assert sorted(p for fold in found.folds for p in fold.test) == sorted(names)
    for fold, after in zip(found.folds, [*found.folds[1:], found.folds[0]], strict=True):
        assert set(fold.train) | set(fold.validation) | set(fold.test) == names
        assert fold.validation == after.test
    assert found == make_split(tiles, SplitConfig(folds=3, seed=2), tmp_path)
    with pytest.raises(InputError, match=r"folds need two patients each"):
        make_split(tiles, SplitConfig(folds=len(names)), tmp_path)


def test_an_artefact_trained_on_a_held_out_patient_is_refused():
    require_no_leakage("generator", ["a", "b"], ["a", "b", "c"])
    with pytest.raises(
        InputError, match="generator: was trained on patient t, who is outside the training part"
    ):
        require_no_leakage("generator", ["a", "t"], ["a", "b"])


def write_table(path, patients):
    path.write_text("slide\n" + "".join(f"{patient}\n" for patient in patients))


def official(**validation) -> SplitConfig:
    return SplitConfig.model_validate(
        {"official": {"table": "train.csv", "patient": "{slide}"}, "validation": validation}
    )


def test_a_table_may_name_validation_patients(tiles, tmp_path):
    write_table(tmp_path / "train.csv", [f"p{i:02d}" for i in range(8)])
    write_table(tmp_path / "validation.csv", ["p01", "p05", "p09"])  # p09 is a test patient and stays one
    fold = make_split(tiles, official(table="validation.csv", patient="{slide}"), tmp_path).folds[0]
    assert fold.validation == ["d:p01", "d:p05"]
    assert fold.train == [f"d:p{i:02d}" for i in (0, 2, 3, 4, 6, 7)]
    assert "d:p09" in fold.test


def test_a_table_that_names_no_training_patient_is_refused(tiles, tmp_path):
    write_table(tmp_path / "train.csv", ["p00", "p01"])
    write_table(tmp_path / "validation.csv", ["p09"])
    with pytest.raises(InputError, match="names no training patient"):
        make_split(tiles, official(table="validation.csv", patient="{slide}"), tmp_path)
    with pytest.raises(ValueError, match="need each other"):
        official(table="validation.csv")
    with pytest.raises(ValueError, match="of an `official` split"):
        SplitConfig.model_validate(
            {"fractions": (0.6, 0.2, 0.2), "validation": {"table": "validation.csv", "patient": "{slide}"}}
        )
