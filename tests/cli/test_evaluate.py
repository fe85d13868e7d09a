"""`nucleosynth evaluate` prints JSON and writes what it is told to."""

from __future__ import annotations

import json

from tests.phantoms import phantom_tileset

from nucleosynth.cli import main


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
