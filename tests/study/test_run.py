"""A study end to end on phantom tissue: whole, resumed, refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.phantoms import tiny_study

from nucleosynth.cli import main
from nucleosynth.config import parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, read_jsonl, write_json
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.schedule import arm_jobs
from nucleosynth.study.run import run_study
from nucleosynth.study.stages import classifiers as jobs
from nucleosynth.study.stages import primary_arm as choice
from nucleosynth.study.status import plan_study, study_status, write_report


def study(**changes) -> StudyConfig:
    return parse(StudyConfig, tiny_study(**changes))


def numbers(record):
    """Return everything of a record that must repeat: no times, no machine."""
    kept = {key: record[key] for key in ("comparisons", "agreement", "fidelity", "data", "verdict")}
    kept["results"] = [{k: v for k, v in r.items() if k != "seconds"} for r in record["results"]]
    return json.dumps(kept, sort_keys=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished study that the tests of this module copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("study") / "run"
        run_study(study(), out=out, device="cpu")
        return out


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.slow
def test_a_whole_study(copied):
    report, out = copied / "report.html", copied
    record = read_json(out / "report.json")
    assert report.read_text(encoding="utf-8").startswith("<!")
    assert [arm["arm"] for arm in record["arms"]] == ["real", "real+50%", "synthetic-only"]
    assert len(record["results"]) == 6
    assert all(c["interval"] is None and c["per_patient"] for c in record["comparisons"])
    assert "Too few test patients" in record["verdict"]["headline"]
    test = record["agreement"]["test"]
    assert 0 <= test["chance"] <= 1
    assert 0 <= test["ceiling"] <= 1
    assert study_status(out)["arms"] == {"done": 6, "started": {}, "waiting": 0}

    accesses = read_jsonl(out / "test_access.jsonl")
    assert len(accesses) == 7
    assert record["test_access"] == accesses
    assert record["missing"] == []
    locked = record["choice"]
    assert (locked["accesses_before"], locked["chosen"]["fold-0"]["arm"]) == (0, "real+50%")
    assert all(locked["time"] <= access["time"] for access in accesses)
    assert not record["protocol"]["changed"]
    before = (out / "report.json").read_text()
    run_study(study(), out=out, device="cpu")
    assert read_jsonl(out / "test_access.jsonl") == accesses
    assert (out / "report.json").read_text() == before


@pytest.mark.slow
def test_nothing_is_fitted_on_a_held_out_patient(finished):
    fold = read_json(finished / "split.json")["folds"][0]
    generator = read_json(finished / "fold-0" / "generator-0" / "generator" / "config.json")
    pool = TileSet.open(finished / "fold-0" / "synthetic-0")
    assert set(generator["patients"]) == set(fold["train"])
    assert set(pool.patients.tolist()) <= set(fold["train"])


@pytest.mark.slow
def test_a_generator_trained_on_a_test_patient_is_refused(copied, tmp_path):
    path = copied / "fold-0" / "generator-0" / "generator"
    card = read_json(path / "config.json")
    held_out = read_json(copied / "split.json")["folds"][0]["test"][0]
    (path / "config.json").write_text(json.dumps({**card, "patients": [*card["patients"], held_out]}))
    other = study(generator={"steps": 6, "path": str(path)})
    with pytest.raises(
        InputError, match=f"was trained on patient {held_out}, who is outside the training part"
    ):
        run_study(other, out=tmp_path / "second", device="cpu")


@pytest.mark.parametrize(
    ("synthesis", "recipe", "words"),
    [
        ({"guidance": {"class": 2}}, "per-class", "recipe per-class was never trained without its condition"),
        ({"variation": 1.0}, "mask-guided", "of the recipe mask-guided, which makes no variations"),
        ({"sampler": "consistency"}, "unified", "sampler consistency is for students"),
    ],
)
def test_what_the_generator_cannot_draw_is_refused_before_it_is_trained(synthesis, recipe, words, tmp_path):
    own = tiny_study()
    one = study(synthesis={**own["synthesis"], **synthesis}, generator={**own["generator"], "recipe": recipe})
    with pytest.raises(InputError, match=words):
        run_study(one, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "fold-0").exists()


@pytest.mark.slow
def test_another_generator_than_that_of_the_pool_is_refused(copied):
    stored = copied / "fold-0" / "synthetic-0" / "tileset.json"
    info = read_json(stored)
    write_json(stored, {**info, "provenance": {**info["provenance"], "generator": "another"}})
    for path in (copied / "DONE", copied / "fold-0" / "scores-0" / "generator-scores.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"is not the generator that drew .*synthetic-0; put that one back"):
        run_study(study(), out=copied, device="cpu")


@pytest.mark.slow
def test_a_study_without_a_synthetic_arm_draws_no_pool(tmp_path):
    run_study(study(arms={"controls": ["real", "oversampled"]}), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "fold-0" / "synthetic-0").exists()
    record = read_json(tmp_path / "run" / "report.json")
    assert [arm["arm"] for arm in record["arms"]] == ["real", "oversampled"]


EVERY_ARM = {
    "doses": [0.5, 6],
    "filters": ["copies"],
    "controls": ["real", "augmented", "oversampled", "natural", "shuffled", "held-back", "rare-only",
                 "pretrained", "synthetic-only"],
    "fractions": [0.6, 1.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A study with every arm, two generators, inner folds, segmentation arms and two data fractions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("everything") / "run"
        one = study(
            data={"reader": "phantom", "patients": 30, "tiles": 240},
            split={"fractions": [0.4, 0.2, 0.4]},
            arms=EVERY_ARM,
            choice={"folds": 2},
            generator={**tiny_study()["generator"], "seeds": 2},
            classifier={**tiny_study()["classifier"], "seeds": 1},
            segmentation={"steps": 2, "seeds": 1},
        )
        run_study(one, out=out, device="cpu")
        return one, out


@pytest.mark.slow
def test_every_arm_runs_and_no_fit_reads_a_patient_it_may_not(everything):
    one, out = everything
    record = read_json(out / "report.json")
    assert record["missing"] == []
    named = [arm.name for arm in one.arms.all]
    assert [arm["arm"] for arm in record["arms"] if arm["fraction"] == 1] == [
        n for n in named if n != "held-back"
    ]
    assert [arm["arm"] for arm in record["arms"] if arm["fraction"] == 0.6] == named
    train = set(read_json(out / "split.json")["folds"][0]["train"])
    for folder in ("fold-0", "fold-0-patients-60%", "fold-0/choice-0", "fold-0-patients-60%/choice-1"):
        allowed = set(read_json(out / folder / "generator-0" / "generator" / "config.json")["patients"])
        pool = TileSet.open(out / folder / "synthetic-0")
        kept = read_json(out / folder / "selection-0-copies" / "selection.json")
        assert set(pool.patients.tolist()) <= allowed <= train
        assert set(kept["patients"]) <= allowed
        assert (allowed < train) == (folder != "fold-0")


@pytest.mark.slow
def test_the_choice_is_made_by_inner_folds_and_before_any_test_access(everything):
    _, out = everything
    record = read_json(out / "report.json")
    for fit in ("fold-0", "fold-0-patients-60%"):
        chosen = record["choice"]["chosen"][fit]
        assert chosen["by"] == "2 folds of the training patients"
        assert chosen["scores"][chosen["arm"]] == max(chosen["scores"].values())
    assert all(access["time"] >= record["choice"]["time"] for access in record["test_access"])
    assert record["claim"]["arm"] == record["choice"]["chosen"]["fold-0"]["arm"]
    assert record["claim"]["rivals"] == ["real", "augmented", "oversampled", "natural", "shuffled"]


@pytest.mark.slow
def test_only_the_chosen_arm_of_each_fold_is_fitted_to_all_and_tested(tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "_choose", _alternating(choice._choose))
    one = study(
        data={"reader": "phantom", "patients": 18, "tiles": 144},
        split={"folds": 3},
        arms={"doses": [0.25, 0.5], "filters": ["copies"], "controls": ["real"]},
        choice={"folds": 2, "tested": "chosen"},
        classifier={**tiny_study()["classifier"], "seeds": 1},
    )
    plan = plan_study(one)
    run_study(one, out=tmp_path / "run", device="cpu")
    record = read_json(tmp_path / "run" / "report.json")
    chosen = {fold: record["choice"]["chosen"][f"fold-{fold}"]["arm"] for fold in range(3)}
    assert len(set(chosen.values())) == 2, "or this test shows nothing"
    for fold, name in chosen.items():
        run = {path.name for path in (tmp_path / "run" / f"fold-{fold}" / "arms").iterdir()}
        assert run == {"real", name}
    assert plan["classifier_runs"] == 3 * (2 * 3 + 2)
    assert study_status(tmp_path / "run")["arms"] == {"done": 24, "started": {}, "waiting": 0}
    assert record["missing"] == []
    assert [arm["arm"] for arm in record["arms"]] == ["real", "chosen"], "each in every fold"
    assert {(c["arm"], c["baseline"]) for c in record["comparisons"]} == {("chosen", "real")}
    assert record["claim"]["arm"] == "chosen"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert " to the test patients. The other candidates were not fitted to all training patients" in page
    first = min(access["time"] for access in record["test_access"])
    assert record["choice"]["time"] <= first


def _alternating(choose):
    """Return ``choose`` with another arm chosen in the first fold, whatever the scores are."""

    def chosen(one, out, fit):
        found = choose(one, out, fit)
        return {**found, "arm": "real+25%" if fit.fold == 0 else "real+50%-copies"}

    return chosen


@pytest.mark.slow
def test_synthetic_arms_are_crossed_with_generators(everything):
    _, out = everything
    record = read_json(out / "report.json")
    pairs = {(c["arm"], c["fraction"]): c for c in record["comparisons"] if c["baseline"] == "real"}
    assert pairs["real+50%", 1.0]["n_generators"] == 2
    assert pairs["augmented", 1.0]["n_generators"] == 1
    assert pairs["augmented", 1.0]["interval"] is not None
    primary = record["claim"]["arm"]
    for (arm, share), c in pairs.items():
        secondary = not (arm == primary and share == 1) and c["metric"] == "balanced_accuracy"
        assert (c["p_holm"] is not None) == (secondary and c["p_value"] is not None)


@pytest.mark.slow
def test_the_segmentation_arms_are_scored_on_the_same_patients(everything):
    one, out = everything
    found = read_json(out / "report.json")["segmentation"]
    assert [(a["arm"], a["runs"]) for a in found["arms"] if a["fraction"] == 1] == [
        ("real", 1), ("synthetic-only", 2), ("both", 2),
    ]  # fmt: skip
    assert {c["metric"] for c in found["comparisons"]} == {"pq", "aji", "f1"}
    assert plan_study(one)["segmenter_runs"] == 2 * 5


@pytest.mark.slow
def test_an_unfinished_study_is_reported_with_what_is_missing(everything, tmp_path):
    one, out = everything
    half = Path(shutil.copytree(out, tmp_path / "half"))
    (half / "DONE").unlink()
    for path in (
        *half.glob("fold-0/arms/real+50%/*/test.json"),
        half / "fold-0/scores-0/generator-scores.json",
    ):
        path.unlink()
    report = write_report(half)
    record = read_json(half / "report.json")
    assert "Not finished" in record["verdict"]["headline"]
    assert len(record["missing"]) == 2 + 1
    assert record["missing"][0] in report.read_text(encoding="utf-8")
    assert not [c for c in record["comparisons"] if (c["arm"], c["fraction"]) == ("real+50%", 1.0)]
    before = read_jsonl(half / "test_access.jsonl")
    run_study(one, out=half, device="cpu")
    again = read_json(half / "report.json")
    assert numbers(again) == numbers(read_json(out / "report.json"))
    assert len(read_jsonl(half / "test_access.jsonl")) == len(before) + 3


@pytest.mark.slow
def test_the_status_names_running_trainings(everything, tmp_path):
    one, out = everything
    half = Path(shutil.copytree(out, tmp_path / "half"))
    whole = study_status(half)["generators"]
    assert whole["done"] > 1
    (half / "fold-0/generator-0/DONE").unlink()
    shutil.rmtree(half / "fold-0/generator-1")
    assert study_status(half)["generators"] == {
        "done": whole["done"] - 2,
        "started": {"fold-0/generator-0": one.generator.steps},
        "waiting": 1,
    }


@pytest.mark.slow
def test_arms_of_different_test_sets_are_not_compared(everything, tmp_path):
    _, out = everything
    other = Path(shutil.copytree(out, tmp_path / "other"))
    (path,) = other.glob("fold-0/arms/real/*/test.npy")
    whole = np.load(path)
    np.save(path, whole[:-1])
    with pytest.raises(InputError, match="arms of different test sets cannot be compared"):
        write_report(other)
    np.save(path, whole)
    scores = read_json(path.with_suffix(".json"))
    assert len(scores["scored_on"]) == 64
    write_json(path.with_suffix(".json"), {**scores, "scored_on": "as many tiles of others"})
    with pytest.raises(InputError, match="arms of different test sets cannot be compared"):
        write_report(other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: study\nstudy: {nam: x}\n", "config.yaml: unknown key `nam`; did you mean `name`?"),
        ("kind: [\n", "config.yaml, line 2: not valid YAML"),
        ("kind: generator\n", "is not the directory of a study"),
    ],
)
def test_settings_that_cannot_be_read_are_one_line(text, words, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(text)
    assert main(["study", "status", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_a_study_that_has_not_begun_has_no_report(tmp_path):
    with pytest.raises(InputError, match="no study here"):
        write_report(tmp_path)


@pytest.mark.slow
def test_a_study_of_one_small_data_fraction_is_reported(tmp_path):
    one = study(
        data={"reader": "phantom", "patients": 20, "tiles": 120},
        arms={"doses": [0.5], "controls": ["real"], "fractions": [0.6]},
        classifier={**tiny_study()["classifier"], "seeds": 1},
    )
    run_study(one, out=tmp_path / "run", device="cpu")
    record = read_json(tmp_path / "run" / "report.json")
    assert (record["missing"], record["claim"]["fraction"]) == ([], 0.6)
    (share,), train = record["data"]["data_fractions"], record["data"]["parts"]["train"]
    learned = read_json(
        tmp_path / "run" / "fold-0-patients-60%" / "generator-0" / "generator" / "config.json"
    )
    assert (share["fraction"], share["patients"]) == (0.6, len(learned["patients"]))
    assert 0 < share["tiles"] < train["tiles"] and sum(share["per_class"].values()) == share["tiles"]
    assert record["agreement"]["test"] is not None
    assert record["generator"]["steps"] == 6


@pytest.mark.slow
def test_folds_are_pooled_and_each_patient_is_tested_once(tmp_path):
    one = study(
        split={"folds": 3},
        arms={"doses": [0.25, 0.5], "controls": ["real"]},
        classifier={**tiny_study()["classifier"], "seeds": 1},
    )
    run_study(one, out=tmp_path / "run", device="cpu")
    record = read_json(tmp_path / "run" / "report.json")
    patients = set(TileSet.open(tmp_path / "run" / "tiles").patients.tolist())
    assert {c["n_patients"] for c in record["comparisons"]} == {len(patients)}
    chosen = {name: one["arm"] for name, one in record["choice"]["chosen"].items()}
    assert list(chosen) == ["fold-0", "fold-1", "fold-2"]
    different = len(set(chosen.values())) > 1
    assert record["claim"]["arm"] == ("chosen" if different else chosen["fold-0"])


@pytest.mark.slow
def test_a_failed_arm_is_named_and_tried_again(tmp_path):
    one, out = study(arms={"doses": [10], "controls": ["real"]}), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "arm_training_set", fails_where_tiles_are_added(jobs.arm_training_set))
        with pytest.raises(InputError, match=r"arms/real\+10/.*: nothing to eat"):
            run_study(one, out=out, device="cpu")
    assert study_status(out)["arms"]["done"] == 2
    run_study(one, out=out, device="cpu")
    assert study_status(out)["arms"]["done"] == 4


def fails_where_tiles_are_added(training_set):
    def failing(context, arm, pool):
        if arm.dose:
            raise InputError("nothing to eat")
        return training_set(context, arm, pool)

    return failing


@pytest.mark.slow
def test_the_shared_report_shows_no_patient_and_no_real_tile(copied):
    shared = write_report(copied, real_tiles=False)
    ended = read_json(copied / "DONE")["finished"]
    assert read_json(shared.with_name("report.json"))["finished"] == ended  # not when the report was made
    patients = set(TileSet.open(copied / "tiles").patients.tolist())
    for path in (shared, shared.with_name("report.json")):
        text = path.read_text(encoding="utf-8")
        assert not [p for p in patients if f"{p}" in text]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": {"doses": [1.5]}}, "dose 1.5"),
        ({"arms": {"doses": [True]}}, "a dose is a share or a number of tiles, not true or false"),
        ({"arms": {"doses": [10**6]}}, "`arms.doses`: 1000000 tiles, but `synthesis.tiles` draws"),
        ({"arms": {"doses": [0.5, 0.5]}}, r"`real\+50%` is listed twice"),
        (
            {"arms": {"doses": [0.5], "controls": ["real", "shuffled"]}, "report": {"arm": "shuffled"}},
            "a control",
        ),
        ({"report": {"arm": "real"}}, "`real` is a control"),
        ({"arms": {"controls": ["oversampled"]}}, "must hold `real`"),
        ({"generator": {"steps": 3, "minutes": 2}}, "not both"),
        ({"split": {"fractions": [0.5, 0.5, 0.5]}}, "add up to 1"),
        ({"clasifier": {}}, "did you mean `classifier`"),
        ({"tiles": {"size": 16, "mpp": 99}}, "mpp"),
    ],
)
def test_an_unsound_protocol_is_one_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        study(**changes)
    assert "\n" not in str(caught.value)


def test_the_plan_counts_and_the_hash_follows_every_setting():
    one = study()
    assert plan_study(one)["classifier_runs"] == len(list(arm_jobs(one, Fit()))) == 6
    assert plan_study(one)["generators"] == 1
    assert plan_study(study(generator={"path": "runs/generator"}))["generators"] == 0
    assert one.protocol_hash == study().protocol_hash
    assert one.protocol_hash != study(seed=1).protocol_hash
    pairs = {"reader": "paired", "dataset": "x", "images": "i", "masks": "m", "mask_kind": "binary"}
    assert study(data=pairs).protocol_hash == study(data={**pairs, "licence": "MIT"}).protocol_hash


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_no_number(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny_study(generator={**tiny_study()["generator"], "steps": 60})))
    command = [sys.executable, "-m", "nucleosynth", "study", "run", str(path), "--device", "cpu", "--out"]
    moments = np.random.default_rng(0).uniform(2.0, 12.0, 3)
    for moment in moments:
        process = subprocess.Popen(
            [*command, str(tmp_path / "killed")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    reports = [run_study(load_study(path), out=tmp_path / name, device="cpu") for name in ("whole", "killed")]
    records = [read_json(report.with_name("report.json")) for report in reports]
    assert numbers(records[0]) == numbers(records[1])


def test_the_plan_of_a_study_without_classes_counts_no_classifier():
    data = {"reader": "paired", "dataset": "x", "images": "images", "masks": "masks", "mask_kind": "binary"}
    one = study(data=data, segmentation={"steps": 5, "seeds": 2})
    planned = plan_study(one)
    assert (planned["classifier_runs"], planned["arms"], planned["segmenter_runs"]) == (0, [], 2 * 3)
    assert planned["synthetic_tiles"] == one.synthesis.tiles
