"""Dotted settings on the command line."""

from __future__ import annotations

import pytest

from nucleosynth.cli import main
from nucleosynth.cli.settings import gather_settings, load_section
from nucleosynth.config import Config
from nucleosynth.errors import InputError


class ClassifierSection(Config):
    steps: int = 100
    seeds: int = 1
    min_share: float = 0.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--classifier.seeds", "3"], ["--set=classifier.seeds=3"]),
        (["--classifier.seeds=3"], ["--set=classifier.seeds=3"]),
        (["--arms.doses", "[0.25, 0.5]"], ["--set=arms.doses=[0.25, 0.5]"]),
        (["--data.image", "a=b.png"], ["--set=data.image=a=b.png"]),
        (["--tiles.min-tissue", "-1"], ["--set=tiles.min_tissue=-1"]),
        (["--data.root", "/data", "--out", "a.b/c"], ["--data.root", "/data", "--out", "a.b/c"]),
        (["study.yaml", "--seed", "0.5"], ["study.yaml", "--seed", "0.5"]),
    ],
)
def test_only_dotted_options_become_settings(words, expected):
    assert gather_settings(words) == expected


@pytest.mark.parametrize("words", [["--a.b"], ["--a.b", "--out", "x"]])
def test_a_setting_without_a_value_is_named(words):
    with pytest.raises(InputError, match=r"--a\.b: its value is missing"):
        gather_settings(words)


def test_settings_override_the_study_file(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("name: x\nclassifier: {steps: 7, seeds: 5}\n")
    read = load_section(ClassifierSection, "classifier", study=study, settings=["classifier.seeds=3"])
    assert read == ClassifierSection(steps=7, seeds=3)


def test_without_file_and_settings_the_defaults_hold():
    assert load_section(ClassifierSection, "classifier", study=None, settings=None) == ClassifierSection()


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(InputError, match="unknown key `sedes`; did you mean `seeds`"):
        load_section(ClassifierSection, "classifier", study=None, settings=["classifier.sedes=3"])


def test_a_setting_of_another_section_is_refused():
    with pytest.raises(InputError, match=r"--clasifier\.seeds: this command takes settings of `classifier`"):
        load_section(ClassifierSection, "classifier", study=None, settings=["clasifier.seeds=3"])


def test_a_command_without_settings_names_the_users_own_word(tmp_path, capsys):
    assert main(["data", "verify", str(tmp_path), "--classifier.seeds", "3"]) == 2
    assert "unknown option --classifier.seeds" in capsys.readouterr().err
