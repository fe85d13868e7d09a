"""Tiles from drawing to export, as a user types it."""

from __future__ import annotations

import json

import pytest

from nucleosynth.cli import main
from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet


@pytest.fixture
def tiles(tmp_path, capsys):
    """Path of a small phantom TileSet, made by the command."""
    out = tmp_path / "tiles"
    assert (
        main(["data", "phantom", "--patients", "9", "--tiles", "54", "--size", "32", "--out", str(out)]) == 0
    )
    assert "54 tiles of 32x32 px; 0.5 µm/px; 9 patients" in capsys.readouterr().out
    return out


def test_verify_says_what_it_found(tiles, capsys):
    assert main(["data", "verify", str(tiles)]) == 0
    assert capsys.readouterr().out.startswith(f"{tiles}: 54 tiles")


def test_verify_names_a_damaged_shard(tiles, capsys):
    (shard,) = tiles.glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    assert main(["data", "verify", str(tiles)]) == 2
    assert shard.name in capsys.readouterr().err


def test_split_by_settings_keeps_patients_apart(tiles, tmp_path):
    out = tmp_path / "split.json"
    shares = "[0.4, 0.3, 0.3]"
    assert (
        main(["data", "split", str(tiles), "--split.fractions", shares, "--split.seed=1", "--out", str(out)])
        == 0
    )
    (fold,) = Split.load(out).folds
    parts = [set(fold.train), set(fold.validation), set(fold.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 9


def test_a_misspelt_setting_names_the_nearest(tiles, tmp_path, capsys):
    assert (
        main(["data", "split", str(tiles), "--split.fraction", "[1,0,0]", "--out", str(tmp_path / "s")]) == 2
    )
    assert "did you mean `fractions`" in capsys.readouterr().err


def test_export_and_contact_sheet_appear(tiles, tmp_path):
    assert (
        main(["data", "export", str(tiles), "--layout", "imagefolder", "--out", str(tmp_path / "files")]) == 0
    )
    assert len(list((tmp_path / "files").rglob("*.png"))) == 54
    assert main(["data", "show", str(tiles), "--out", str(tmp_path / "sheet.html")]) == 0
    assert "<html" in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_segment_refuses_then_replaces_and_scores(tiles, tmp_path, capsys):
    masked = tmp_path / "masked"
    assert main(["segment", str(tiles), "--out", str(masked)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["segment", str(tiles), "--replace", "--out", str(masked)]) == 0
    assert TileSet.open(masked).has_mask.all()
    capsys.readouterr()
    assert main(["evaluate", "masks", str(tiles), str(tiles)]) == 0
    assert json.loads(capsys.readouterr().out)["corrected"] == 1.0


def test_a_fold_outside_the_split_is_named(tiles, tmp_path, capsys):
    split = tmp_path / "split.json"
    main(["data", "split", str(tiles), "--split.fractions", "[0.4, 0.3, 0.3]", "--out", str(split)])
    capsys.readouterr()
    words = ["train", str(tiles), "--split", str(split), "--fold", "1", "--out", str(tmp_path / "generator")]
    assert main([*words, "--generator.steps", "2"]) == 2
    assert f"--fold 1: {split} has 1" in capsys.readouterr().err
