"""``nucleosynth layouts``, and what the dial of ``sample`` needs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nucleosynth.cli.app import run
from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.data.tileset import write_tileset
from nucleosynth.layouts import fit


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "_TRIAL", 10)
    tiles = list(phantom_tiles(PhantomConfig(tiles=24, patients=3), size=64, mpp=0.5))
    write_tileset(tmp_path / "tiles", tiles, classes=["1", "2", "3"])
    parts = ("train", "validation", "test")
    fold = {part: [f"phantom:p{i:02d}"] for i, part in enumerate(parts)}
    fold["train"] = ["phantom:p00", "phantom:p01"]
    fold["validation"] = []
    (tmp_path / "split.json").write_text(json.dumps({"schema": 1, "rule": "by hand", "folds": [fold]}))
    out = tmp_path / "layouts.json"
    words = ["layouts", "fit", str(tmp_path / "tiles"), "--split", str(tmp_path / "split.json")]
    assert run([*words, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_fit_then_draw(fitted, tmp_path, capsys):
    assert json.loads(fitted.read_text())["patients"] == ["phantom:p00", "phantom:p01"]
    words = ["layouts", "draw", str(fitted), "--tiles", "5", "--label", "2", "--regions", "nests"]
    assert run([*words, "--dial.size-ratio", "1.5", "--dial.density=0.5", "--out", str(tmp_path / "d")]) == 0
    assert np.load(tmp_path / "d" / "masks.npy").shape == (5, 64, 64)
    card = json.loads((tmp_path / "d" / "layouts.json").read_text())
    assert card["labels"] == [1] * 5
    assert card["dial"] == {"size_ratio": 1.5, "anisonucleosis": 1.0, "irregularity": 1.0, "density": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--label", "4"], "unknown class '4'"),
        (["--tiles", "0"], "--tiles 0"),
        (["--dial.size-ratio", "9"], "--dial: `size_ratio`"),
        (["--size", "2"], "size is (2, 2) px"),
    ],
)
def test_bad_requests(fitted, tmp_path, capsys, words, expected):
    assert run(["layouts", "draw", str(fitted), *words, "--out", str(tmp_path / "d")]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_dial_without_layouts_is_refused(tmp_path, capsys):
    words = ["sample", "g", "--donors", "t", "--out", str(tmp_path / "s"), "--dial.density", "2"]
    assert run(words) == 2
    assert "--dial: changes invented layouts only" in capsys.readouterr().err
