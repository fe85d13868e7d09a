"""`nucleosynth evaluate` prints JSON and writes the requested files."""

from __future__ import annotations

import json

import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.cli import main


@pytest.mark.slow
def test_morphology_prints_what_it_writes(tmp_path, capsys):
    tiles = phantom_tileset(tmp_path / "tiles", size=32)
    words = ["evaluate", "morphology", str(tiles.path), str(tiles.path), "--benign-um", "6.4"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "morphology.json").read_text())
    assert printed["benign"] == {"diameter_um": 6.4, "rule": "given"}
    assert len(list((tmp_path / "out").glob("morphology-*.png"))) == 4
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == printed


@pytest.mark.slow
def test_fidelity_by_class_adds_to_what_it_prints_without(tmp_path, capsys):
    tiles = phantom_tileset(tmp_path / "tiles", size=32)
    words = ["evaluate", "fidelity", str(tiles.path), str(tiles.path)]
    assert main(words) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main([*words, "--by-class"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_class = found.pop("by_class")
    assert list(by_class) == tiles.classes
    said = found.pop("warnings")
    assert said[: len(whole["warnings"])] == whole.pop("warnings")
    assert found == whole
    for name, scores in by_class.items():
        assert (scores is None) == any(line.startswith(f"class {name}: ") for line in said)


def test_an_extractor_that_cannot_be_had_is_one_line(tmp_path, capsys):
    tiles = phantom_tileset(tmp_path / "tiles", size=32)
    words = ["evaluate", "fidelity", str(tiles.path), str(tiles.path), "--extractor"]
    for name, says in (("lite1", "did you mean lite0?"), ("classifier:nowhere", "holds no config.yaml")):
        assert main([*words, name]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert says in error
