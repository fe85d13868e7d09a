"""The patients that each fit of a study may use, and its arms."""

from __future__ import annotations

import logging
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from tests.phantoms import phantom_tileset, tiny_study
from tests.places import ROOT

from nucleosynth.config import parse
from nucleosynth.data.split import Fold, Split, check_fold, check_split
from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.seeds import rng
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.study.design.fits import Fit, draw_data_fraction, fit_patients
from nucleosynth.study.design.schedule import all_fits, arm_jobs, fit_arms, outer_fits


def study(**changes) -> StudyConfig:
    return parse(StudyConfig, tiny_study(**changes))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield phantom_tileset(tmp_path_factory.mktemp("fits") / "tiles", tiles=240, patients=24)


@pytest.fixture
def split(tiles):
    names = sorted(set(tiles.patients.tolist()))
    return Split(rule="x", folds=[Fold(train=names[:16], validation=names[16:20], test=names[20:])])


def test_a_data_fraction_contains_the_smaller_ones(tiles, split):
    train = split.folds[0].train
    shares = [set(draw_data_fraction(tiles, train, share, seed=3)) for share in (0.25, 0.5, 1.0)]
    assert shares[0] < shares[1] < shares[2] == set(train)
    assert [len(found) for found in shares] == [4, 8, 16]


@pytest.mark.parametrize("seed", range(5))
def test_a_fraction_of_uneven_patients_is_one_of_their_tiles_and_classes_too(seed):
    sizes = [120, 80, *[2 + 3 * (i % 7) for i in range(98)]]
    names = [f"p{i:03}" for i in range(100)]
    patients = np.repeat(names, sizes)
    labels = (rng(seed, "labels").random(len(patients)) < 0.2).astype(np.int64)
    tiles = SimpleNamespace(
        labels=labels,
        patients=patients,
        classes=["low", "high"],
        rows_of=lambda wanted: np.flatnonzero(np.isin(patients, wanted)),
    )
    for share in (0.25, 0.5):
        drawn = draw_data_fraction(tiles, names, share, seed=seed)
        rows = tiles.rows_of(drawn)
        assert len(drawn) == 100 * share
        assert len(rows) / len(patients) == pytest.approx(share, abs=0.07)
        assert labels[rows].mean() == pytest.approx(labels.mean(), abs=0.05)


def test_a_data_fraction_keeps_validation_and_test_patients(tiles, split):
    fold = split.folds[0]
    found = fit_patients(tiles, split, Fit(0, 0.5), inner=0, seed=0)
    assert (found.validation, found.test) == (fold.validation, fold.test)
    assert set(found.train) < set(fold.train)


def test_inner_folds_divide_the_training_patients_and_use_no_other(tiles, split):
    outer = Fit(0, 0.5)
    train = fit_patients(tiles, split, outer, inner=2, seed=0).train
    found = [fit_patients(tiles, split, fit, inner=2, seed=0) for fit in outer.within(2)]
    assert sorted(p for fold in found for p in fold.validation) == train
    for fold in found:
        assert fold.test == []
        assert sorted([*fold.train, *fold.validation]) == train


def test_a_part_that_cannot_be_used_is_named(tiles, split, caplog):
    lonely = Split(rule="x", folds=[split.folds[0].model_copy(update={"test": split.folds[0].test[:1]})])
    with pytest.raises(InputError, match=r"fold-0: .*test"):
        fit_patients(tiles, lonely, Fit(), inner=0, seed=0)
    single = {"validation": split.folds[0].validation[:1]}
    alone = Split(rule="x", folds=[split.folds[0].model_copy(update=single)])
    with caplog.at_level(logging.WARNING):
        missing = split.folds[0].model_copy(update={"validation": ["phantom:missing"]})
        check_fold(tiles, missing, "fold-0")
        assert "has no validation tile" in caplog.text
        check_split(tiles, alone)
        assert "one validation patient" in caplog.text
        caplog.clear()
        fit_patients(tiles, alone, Fit(), inner=0, seed=0)
        assert not caplog.text  # of the split's own patients it was warned
        fit_patients(tiles, split, Fit(0, 1.0, 0), inner=16, seed=0)
        assert "choice-0: one validation patient" in caplog.text
    with pytest.raises(InputError, match=r"fold-0-patients-5%: "):
        fit_patients(tiles, split, Fit(0, 0.05), inner=0, seed=0)
    with pytest.raises(InputError, match="16 training patients cannot be divided into 17 inner folds"):
        fit_patients(tiles, split, Fit(0, 1.0, 0), inner=17, seed=0)


def test_every_fit_has_its_own_folder():
    fits = [Fit(), Fit(1), Fit(0, 0.25), Fit(0, 0.25, 1), Fit(0, 1.0, 1)]
    assert [fit.folder for fit in fits] == [
        "fold-0", "fold-1", "fold-0-patients-25%", "fold-0-patients-25%/choice-1", "fold-0/choice-1",
    ]  # fmt: skip
    assert Fit(**asdict(fits[3])) == fits[3]


def test_an_inner_fold_runs_the_candidates_alone_with_one_generator():
    arms = {"doses": [0.25, 0.5], "controls": ["real", "shuffled", "held-back"], "fractions": [1.0, 0.5]}
    one = study(arms=arms, choice={"folds": 2}, generator={"steps": 1, "seeds": 3})
    assert [fit.folder for fit in outer_fits(one, 1)] == ["fold-0", "fold-0-patients-50%"]
    assert [fit.folder for fit in all_fits(one, 1)][:3] == ["fold-0/choice-0", "fold-0/choice-1", "fold-0"]
    assert [arm.name for arm in fit_arms(one, Fit(0, 1.0, 0))] == ["real+25%", "real+50%"]
    assert [arm.name for arm in fit_arms(one, Fit())] == ["real", "real+25%", "real+50%", "shuffled"]
    assert [arm.name for arm in fit_arms(one, Fit(0, 0.5))][-1] == "held-back"
    assert len(list(arm_jobs(one, Fit(0, 1.0, 0)))) == 2 * 2
    assert len(list(arm_jobs(one, Fit()))) == 2 * (1 + 3 * 3)
    folders = [job.folder for fit in all_fits(one, 1) for job in arm_jobs(one, fit)]
    assert len(set(folders)) == len(folders)


def test_where_the_chosen_arm_alone_is_tested_it_stands_in_the_place_of_the_candidates():
    arms = {"doses": [0.25, 0.5], "controls": ["real", "shuffled"], "filters": ["copies"]}
    one = study(arms=arms, choice={"folds": 2, "tested": "chosen"}, generator={"steps": 1, "seeds": 3})
    assert len(fit_arms(one, Fit(0, 1.0, 0))) == 3
    assert [arm.name for arm in fit_arms(one, Fit(), "real+50%-copies")] == [
        "real", "real+50%-copies", "shuffled",
    ]  # fmt: skip
    assert [arm.name for arm in fit_arms(one, Fit())] == ["real", "chosen", "shuffled"]
    runs = [len(list(arm_jobs(one, Fit(), arm))) for arm in ("real+25%", "real+50%-copies", None)]
    assert runs == [2 * (1 + 2 * 3)] * 3
    named = study(arms=arms, choice={"folds": 2, "tested": "chosen"}, report={"arm": "real+25%"})
    assert len(fit_arms(named, Fit())) == 5, "nothing was chosen, so all are tested"


def test_nothing_is_chosen_where_the_protocol_names_the_arm_or_there_is_one():
    two = {"doses": [0.25, 0.5]}
    assert study(arms=two, choice={"folds": 2}).inner_folds == 2
    assert study(arms=two, choice={"folds": 2}, report={"arm": "real+25%"}).inner_folds == 0
    assert study(choice={"folds": 2}).inner_folds == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"report": {"arm": "real+10%"}}, "no arm `real.10%`; there are chosen, real, real.50%"),
        ({"choice": {"folds": 1}}, "leaves no patient to train on"),
        ({"arms": {"controls": ["real", "held-back"]}}, "give `fractions` below 1"),
        ({"arms": {"fractions": [0.5, 1.5]}}, "fraction 1.5: expected a data fraction"),
        ({"arms": {"fractions": []}}, "must hold at least one fraction"),
        ({"arms": {"filters": ["luck"]}}, "filters"),
    ],
)
def test_an_unsound_choice_is_one_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        study(**changes)
    assert "\n" not in str(caught.value)


def test_a_study_file_keeps_its_hash_when_settings_are_added():
    root = ROOT
    reported = read_json(root / "docs" / "results" / "amibr" / "report.json")["protocol"]["hash"]
    assert load_study(root / "studies" / "amibr.yaml").protocol_hash == reported
