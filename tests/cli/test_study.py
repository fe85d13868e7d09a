"""Studies from the command line: what a setting does, and what a wrong one prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nucleosynth.study
from nucleosynth.cli import main

PHANTOM = str(Path(nucleosynth.study.__file__).parent / "phantom.yaml")


def plan(capsys, *settings: str) -> dict:
    assert main(["study", "plan", PHANTOM, *settings]) == 0
    return json.loads(capsys.readouterr().out)


def test_settings_change_the_plan_and_its_hash(capsys):
    as_written, changed = plan(capsys), plan(capsys, "--classifier.seeds", "5", "--arms.doses=[0.25, 0.5]")
    assert changed["arms"] == [*as_written["arms"][:1], "real+25%", "real+50%", *as_written["arms"][2:]]
    assert changed["hash"] != as_written["hash"]


def test_the_data_root_is_no_setting(capsys, tmp_path, monkeypatch):
    as_written = plan(capsys)
    assert plan(capsys, "--data.root", str(tmp_path))["hash"] == as_written["hash"]
    monkeypatch.setenv("NUCLEOSYNTH_DATA", str(tmp_path))
    assert plan(capsys)["hash"] == as_written["hash"]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("--classifier.sedes=3", "unknown key `classifier.sedes`; did you mean `seeds`?"),
        ("--clasifier.seeds=3", "did you mean `classifier`?"),
        ("--classifier.seeds=many", "classifier.seeds"),
        ("--name.first=x", "`name` is not a section"),
        ("--arms.doses=[0.5", "not a valid YAML value"),
    ],
)
def test_a_wrong_setting_is_one_line(setting, text, capsys):
    assert main(["study", "plan", PHANTOM, setting]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1


def test_a_missing_study_file_is_named(tmp_path, capsys):
    assert main(["study", "run", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_status_and_report_need_a_study(tmp_path, capsys):
    for verb in ("status", "report"):
        assert main(["study", verb, str(tmp_path)]) == 2
        assert str(tmp_path) in capsys.readouterr().err
