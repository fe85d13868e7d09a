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

from nucleosynth.config import parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.runs import read_json, read_jsonl
from nucleosynth.study.protocol import StudyConfig, arm_jobs
from nucleosynth.study.run import plan_study, run_study, study_status, write_report


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


def test_a_whole_study(copied):
    report, out = copied / "report.html", copied
    record = read_json(out / "report.json")
    assert report.read_text(encoding="utf-8").startswith("<!")
    assert [arm["arm"] for arm in record["arms"]] == ["real", "real+50%", "synthetic-only"]
    assert len(record["results"]) == 6
    assert all(c["interval"] is None and c["per_patient"] for c in record["comparisons"])
    assert "Too few test patients" in record["verdict"]["headline"]
    test = record["agreement"]["test"]
    assert 0 <= test["floor"] <= 1
    assert 0 <= test["ceiling"] <= 1
    assert study_status(out)["arms"] == {"done": 6, "started": [], "waiting": 0}

    looks = read_jsonl(out / "test_looks.jsonl")
    assert len(looks) == 7
    assert record["test_looks"] == looks
    before = (out / "report.json").read_text()
    run_study(study(), out=out, device="cpu")
    assert read_jsonl(out / "test_looks.jsonl") == looks
    assert (out / "report.json").read_text() == before


def test_nothing_fitted_saw_a_held_out_patient(finished):
    fold = read_json(finished / "split.json")["folds"][0]
    generator = read_json(finished / "fold-0" / "generator-0" / "generator" / "config.json")
    pool = TileSet.open(finished / "fold-0" / "synthetic-0")
    assert set(generator["patients"]) == set(fold["train"])
    assert set(pool.patients.tolist()) <= set(fold["train"])


def test_a_generator_that_saw_a_test_patient_is_refused(copied, tmp_path):
    path = copied / "fold-0" / "generator-0" / "generator"
    card = read_json(path / "config.json")
    stranger = read_json(copied / "split.json")["folds"][0]["test"][0]
    (path / "config.json").write_text(json.dumps({**card, "patients": [*card["patients"], stranger]}))
    other = study(generator={"steps": 6, "path": str(path)})
    with pytest.raises(InputError, match=f"saw patient {stranger}, who is outside the training part"):
        run_study(other, out=tmp_path / "second", device="cpu")


def test_a_study_without_a_synthetic_arm_draws_no_pool(tmp_path):
    run_study(study(arms={"controls": ["real", "oversampled"]}), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "fold-0" / "synthetic-0").exists()
    record = read_json(tmp_path / "run" / "report.json")
    assert [arm["arm"] for arm in record["arms"]] == ["real", "oversampled"]


def test_a_failed_arm_is_named_and_tried_again(tmp_path):
    broken = study(arms={"doses": [50], "controls": ["real"]})
    with pytest.raises(
        InputError, match=r"arms/real\+50/.*the pool holds 12 tiles; raise synthesis.tiles to 50"
    ):
        run_study(broken, out=tmp_path / "run", device="cpu")
    assert study_status(tmp_path / "run")["arms"]["done"] == 2


def test_the_shared_report_shows_no_patient_and_no_real_tile(copied):
    shared = write_report(copied, real_tiles=False)
    patients = set(TileSet.open(copied / "tiles").patients.tolist())
    for path in (shared, shared.with_name("report.json")):
        text = path.read_text(encoding="utf-8")
        assert not [p for p in patients if f"{p}" in text]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": {"doses": [1.5]}}, "dose 1.5"),
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
    assert plan_study(one)["classifier_runs"] == len(list(arm_jobs(one, 1))) == 6
    assert one.protocol_hash == study().protocol_hash
    assert one.protocol_hash != study(seed=1).protocol_hash


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_no_number(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny_study(generator={**tiny_study()["generator"], "steps": 60})))
    command = [sys.executable, "-m", "nucleosynth", "study", "run", str(path), "--device", "cpu", "--out"]

    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
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
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    records = [read_json(tmp_path / name / "report.json") for name in ("whole", "killed")]
    assert numbers(records[0]) == numbers(records[1])
