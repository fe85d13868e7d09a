"""The primary arm is chosen and locked before the test patients are read."""

from __future__ import annotations

import numpy as np
import pytest
from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.data.split import Fold
from nucleosynth.data.test_access import ACCESS_LOG, TEST_ACCESS
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, read_jsonl, write_json
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.schedule import all_fits, arm_jobs
from nucleosynth.study.stages.primary_arm import (
    choose_arms,
    chosen_arm,
    lock_choice,
    record_test_access,
    refuse_choice,
)

ARMS = {"doses": [0.25, 0.5], "controls": ["real", "synthetic-only"], "filters": ["copies"]}


def study(**changes) -> StudyConfig:
    return parse(StudyConfig, tiny_study(**{"arms": ARMS, **changes}))


def scored(one: StudyConfig, out, values, *, folds=1):
    """Write validation scores as classifiers would: a function of the fit and the job."""
    for fit in all_fits(one, folds):
        for job in arm_jobs(one, fit):
            folder = out / job.folder
            folder.mkdir(parents=True)
            write_json(folder / "result.json", {"validation": {"auroc": values(fit, job), "kappa": 0.0}})


def test_the_best_candidate_on_the_validation_patients_is_chosen(tmp_path):
    one = study(generator={"steps": 1, "seeds": 2})
    means = {"real+25%": 0.6, "real+50%": 0.7, "real+50%-copies": 0.65}
    noise = {(0, 0): 0.2, (0, 1): -0.2, (1, 0): 0.1, (1, 1): -0.1}
    scored(one, tmp_path, lambda _, j: means.get(j.name, 0.99) + noise[j.generator, j.seed])
    found = choose_arms(one, tmp_path, 1)
    assert found["fold-0"]["arm"] == "real+50%"
    assert found["fold-0"]["scores"] == pytest.approx(means)
    assert found["fold-0"]["by"] == "validation patients"


def test_inner_folds_decide_and_the_outer_validation_does_not(tmp_path):
    one = study(choice={"folds": 2})
    best = {0: "real+25%", 1: "real+25%", None: "real+50%"}
    scored(one, tmp_path, lambda fit, j: 0.8 if j.name == best[fit.inner] else 0.5)
    found = choose_arms(one, tmp_path, 1)["fold-0"]
    assert (found["arm"], found["by"]) == ("real+25%", "2 folds of the training patients")


def test_each_fold_and_data_fraction_has_its_own_choice(tmp_path):
    one = study(arms={**ARMS, "fractions": [0.5, 1.0]})
    best = {"fold-0": "real+25%", "fold-1": "real+50%", "fold-0-patients-50%": "real+50%-copies"}
    scored(one, tmp_path, lambda fit, j: float(j.name == best.get(fit.folder, "real+25%")), folds=2)
    locked = lock_choice(one, tmp_path, 2)
    fits = [Fit(0), Fit(1), Fit(0, 0.5), Fit(1, 0.5)]
    assert [chosen_arm(locked, fit) for fit in fits] == [*best.values(), "real+25%"]


def test_a_named_arm_or_a_single_candidate_needs_no_scores(tmp_path):
    named = study(report={"arm": "real+25%"})
    assert choose_arms(named, tmp_path, 1)["fold-0"]["arm"] == "real+25%"
    single = study(arms={"doses": [0.5]})
    assert choose_arms(single, tmp_path, 1)["fold-0"]["arm"] == "real+50%"
    none = study(arms={"controls": ["real"]})
    assert choose_arms(none, tmp_path, 1)["fold-0"]["arm"] is None


def test_a_lock_stays_though_scores_change_and_opens_the_test_patients(tmp_path):
    one = study()
    with pytest.raises(InputError, match="is not locked; the test patients are read after that"):
        record_test_access(tmp_path, "peek", fit=Fit())
    assert not (tmp_path / TEST_ACCESS).exists()
    scored(one, tmp_path, lambda _, j: float(j.name == "real+25%"))
    first = lock_choice(one, tmp_path, 1)
    assert (first["accesses_before"], first["protocol_hash"]) == (0, one.protocol_hash)
    record_test_access(tmp_path, "scored", fit=Fit(0, 0.5), seed=1)
    (access,) = read_jsonl(tmp_path / TEST_ACCESS)
    assert (access["what"], access["fraction"], access["seed"]) == ("scored", 0.5, 1)
    for path in tmp_path.glob("fold-0/arms/*/*/result.json"):
        write_json(path, {"validation": {"auroc": 0.0}})
    assert lock_choice(one, tmp_path, 1) == first == read_json(tmp_path / "locked.json")


def test_other_protocols_that_read_the_test_patients_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEOSYNTH_STATE", str(tmp_path / "state"))
    first, second = study(report={"arm": "real+25%"}), study(report={"arm": "real+50%"})

    def lock(one, name, test):
        (tmp_path / name).mkdir()
        earlier = lock_choice(one, tmp_path / name, 1, test=test)["earlier"]
        return [(entry["protocol_hash"], entry["shared"]) for entry in earlier]

    third = study(report={"arm": "real+25%"}, seed=7)
    assert lock(first, "a", ["p:1", "p:2"]) == []
    assert lock(first, "again", ["p:2", "p:1"]) == [], "the same protocol is not recorded again"
    assert lock(second, "b", ["p:1", "p:2"]) == [(first.protocol_hash, 2)]
    assert lock(first, "first", ["p:1", "p:2"]) == [], "and was there before the other"
    assert lock(third, "c", ["p:2", "p:3"]) == [(first.protocol_hash, 1), (second.protocol_hash, 1)]
    assert lock(third, "others", ["p:4"]) == []
    assert "p:" not in (tmp_path / "state" / ACCESS_LOG).read_text()


def test_an_undefined_metric_chooses_no_arm(tmp_path):
    one = study()
    scored(one, tmp_path, lambda *_: None)
    with pytest.raises(InputError, match="auroc is undefined for some candidate in every part that chooses"):
        choose_arms(one, tmp_path, 1)


def test_an_inner_fold_without_the_metric_does_not_count(tmp_path):
    one = study(choice={"folds": 3})
    values = {0: {"real+25%": 0.6, "real+50%": 0.7}, 1: {"real+25%": 0.9, "real+50%": 0.4}}
    scored(
        one,
        tmp_path,
        lambda fit, j: values.get(fit.inner, {}).get(j.name, 0.5 if fit.inner in values else None),
    )
    found = choose_arms(one, tmp_path, 1)["fold-0"]
    assert found["arm"] == "real+25%"
    assert found["scores"] == pytest.approx({"real+25%": 0.75, "real+50%": 0.55, "real+50%-copies": 0.5})


class Graded:
    """Return tiles of patients of one grade each, as a choice uses them."""

    classes = ("grade 1", "grade 2")
    patients = np.repeat(["a", "b", "c", "d"], 3)
    labels = np.repeat([0, 0, 1, 1], 3)

    def rows_of(self, patients):
        return np.flatnonzero(np.isin(self.patients, patients))


def test_a_choice_among_tiles_of_one_class_is_refused_before_training():
    alike, mixed = (
        {Fit(): Fold(train=train, validation=validation, test=[])}
        for train, validation in ((["c", "d"], ["a", "b"]), (["b", "c"], ["a", "d"]))
    )
    with pytest.raises(InputError, match="fold-0: the patients used to choose an arm have one class"):
        refuse_choice(study(), Graded(), alike)
    refuse_choice(study(), Graded(), mixed)
    refuse_choice(study(report={"arm": "real+25%"}), Graded(), alike)
    refuse_choice(study(choice={"metric": "balanced_accuracy"}), Graded(), alike)


def test_sparing_the_other_candidates_needs_folds():
    with pytest.raises(InputError, match="`tested: chosen` needs `folds`"):
        study(choice={"tested": "chosen"})
