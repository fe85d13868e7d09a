"""Bad input as a user meets it: one line that names what is wrong, the exit code, and nothing harmed."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from tests.cli.pairs import mask, paired, picture
from tests.data.readers.mitos_tree import write_tree
from tests.phantoms import phantom_tileset, tiny_study

from nucleosynth import files
from nucleosynth.cli import main
from nucleosynth.data.export import export_tiles
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.runs import open_run

Refused = Callable[..., str]


def damaged(change: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda root: change(root / "images" / "p1_a.png") and None


def halved(path: Path) -> None:
    tifffile.imwrite(path.with_suffix(".tif"), np.full((32, 32, 3), 150, np.uint8), photometric="rgb")
    path.unlink()
    data = path.with_suffix(".tif").read_bytes()
    path.with_suffix(".tif").write_bytes(data[: len(data) // 2])


IMAGES = {
    "missing image": (lambda root: (root / "images" / "p1_a.png").unlink(), ["p1_a"]),
    "unreadable image": (lambda root: (root / "images" / "p1_a.png").write_bytes(b"no image"), ["p1_a.png"]),
    "truncated TIFF": (lambda root: halved(root / "images" / "p1_a.png"), ["p1_a.tif"]),
    "16-bit image": (lambda root: picture(root, np.zeros((32, 32, 3), np.uint16)), ["p1_a.png", "8-bit RGB"]),
    "grey image": (lambda root: picture(root, np.zeros((32, 32), np.uint8)), ["p1_a.png", "RGB image"]),
    "sizes differ": (lambda root: mask(root, np.eye(16, dtype=np.uint8)), ["p1_a.png", "16", "32"]),
    "RGB mask": (lambda root: mask(root, np.zeros((32, 32, 3), np.uint8)), ["p1_a.png", "mask", "RGB"]),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_and_masks(case: str, pairs: Path, refused: Refused) -> None:
    damage, named = IMAGES[case]
    damage(pairs)
    said = refused(*paired(pairs))
    assert all(word in said for word in named), said
    assert not (pairs.parent / "tiles").exists()


@pytest.mark.parametrize(
    ("mpp", "named"), [(None, "mpp"), ("0", "mpp"), ("-1", "mpp"), ("250", "mpp"), ("fine", "mpp")]
)
def test_scale_missing_or_absurd(mpp: str | None, named: str, pairs: Path, refused: Refused) -> None:
    assert named in refused(*paired(pairs, mpp=mpp))
    assert not (pairs.parent / "tiles").exists()


def table(root: Path, rows: str, *, patient: str = "{slide}") -> list[str]:
    (root / "table.csv").write_text(f"image,grade,slide\n{rows}")
    settings = {
        "reader": "table", "dataset": "d", "table": "table.csv", "images": "images", "image": "{image}.png",
        "classes": "[low, high]", "label": "grade", "patient": patient, "mpp": 0.5,
    }  # fmt: skip
    words = [f"--data.{key}={value}" for key, value in settings.items()]
    out = root.parent / "tiles"
    return ["data", "import", "--data.root", str(root), "--tiles.size=16", *words, "--out", str(out)]


def test_a_label_outside_the_classes_names_the_row(pairs: Path, refused: Refused) -> None:
    said = refused(*table(pairs, "p1_a,low,1\np2_a,middle,2\n"))
    assert "table.csv" in said
    assert "middle" in said
    assert "low, high" in said


def test_an_image_that_the_table_names_and_that_does_not_exist(pairs: Path, refused: Refused) -> None:
    assert "p3_a" in refused(*table(pairs, "p1_a,low,1\np3_a,high,2\n"))


def mitos(root: Path, *words: str) -> list[str]:
    place = ["--data.root", str(root), "--out", str(root.parent / "mitos-tiles")]
    return ["data", "import", "--data.reader=mitos_atypia", *place, *words]


def test_a_score_that_is_no_number_names_its_file(tmp_path: Path, refused: Refused) -> None:
    root = write_tree(tmp_path / "tree", names=("03_00B",))
    score = next(root.rglob("A03_00B_cna_score_decision.csv"))
    score.write_text("two\n")
    said = refused(*mitos(root))
    assert score.name in said
    assert "two" in said


def test_an_unknown_scanner_is_named(tmp_path: Path, refused: Refused) -> None:
    root = write_tree(tmp_path / "tree", names=("03_00B",))
    assert "leica" in refused(*mitos(root, "--data.scanners=[leica]"))
    for path in sorted(root.rglob("A03*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.replace("A03", "L03")))
    assert "L03" in refused(*mitos(root))


def test_a_patient_in_two_parts_is_named(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused
) -> None:
    data = json.loads(split.read_text())
    shared = data["folds"][0]["train"][0]
    data["folds"][0]["test"].append(shared)
    split.write_text(json.dumps(data))
    said = refused("train", tiles.path, "--split", split, "--out", tmp_path / "g")
    assert shared in said
    assert not (tmp_path / "g").exists()


def test_a_class_without_a_training_tile_is_named(tiles: TileSet, tmp_path: Path, refused: Refused) -> None:
    grades = {p: set(tiles.labels[tiles.rows_of([p])].tolist()) for p in set(tiles.patients.tolist())}
    few = min(grades, key=lambda patient: len(grades[patient]))
    others = sorted(set(grades) - {few})
    absent = next(c for c in range(3) if c not in grades[few]) if len(grades[few]) < 3 else None
    if absent is None:
        pytest.fail("the phantom has no patient that lacks a grade; the test needs one")
    made = Split(rule="x", folds=[Fold(train=[few], validation=others[:3], test=others[3:])])
    made.save(tmp_path / "few.json")
    words = ["--classifier.model=test_resnet", "--out", tmp_path / "c"]
    said = refused("classify", tiles.path, "--split", tmp_path / "few.json", *words)
    assert tiles.classes[absent] in said


def test_a_split_by_no_rule(tiles: TileSet, tmp_path: Path, refused: Refused) -> None:
    said = refused("data", "split", tiles.path, "--out", tmp_path / "s.json")
    assert said.endswith("split: give exactly one of `file`, `official`, `fractions`, `folds`")


def test_a_split_of_one_patient(tmp_path: Path, refused: Refused) -> None:
    tiles = phantom_tileset(tmp_path / "one", tiles=6, patients=1)
    said = refused(
        "data", "split", tiles.path, "--split.fractions=[0.5, 0.2, 0.3]", "--out", tmp_path / "s.json"
    )
    assert "1 patient" in said
    assert not (tmp_path / "s.json").exists()


def test_a_full_disk_leaves_what_was_there(
    tiles: TileSet, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_sync", full)
    said = refused("data", "phantom", "--tiles=6", "--patients=2", "--out", tmp_path / "new", code=1)
    assert "disk full" in said
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def train(tiles: TileSet, split: Path, out: Path, *words: str) -> list[str]:
    network = ["--generator.network.width=16", "--generator.network.multipliers=[1, 2]"]
    return ["train", str(tiles.path), "--split", str(split), *network, *words, "--out", str(out)]


def test_the_directory_of_another_run_is_kept(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tiles, split, tmp_path / "g", "--generator.steps=2")) == 0
    capsys.readouterr()
    said = refused(*train(tiles, split, tmp_path / "g", "--generator.steps=3"))
    assert "steps" in said
    assert str(tmp_path / "g") in said
    words = ["--classifier.model=test_resnet", "--classifier.steps=1", "--out", tmp_path / "g"]
    assert str(tmp_path / "g") in refused("classify", tiles.path, "--split", split, *words)
    assert "exists" in refused("data", "phantom", "--tiles=6", "--patients=2", "--out", tiles.path)


def test_a_directory_in_use_names_the_process(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tiles, split, tmp_path / "g", "--generator.steps=2")) == 0
    capsys.readouterr()
    config = yaml.safe_load((tmp_path / "g" / "config.yaml").read_text())
    kind = config.pop("kind")
    with open_run(tmp_path / "g", kind=kind, config=config):
        assert "in use" in refused(*train(tiles, split, tmp_path / "g", "--generator.steps=2"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["--classifier.model=efficientnet_v7"], "efficientnet_v7"),
        (["--classifier.model=tf_efficientnetv2_b0", "--classifier.weights=lite0"], "lite0"),
        (["--classifier.model=test_resnet", "--classifier.weights=hub"], "hub"),
    ],
)
def test_models_and_weights_that_are_not_to_be_had(
    settings: list[str],
    named: str,
    tiles: TileSet,
    split: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refused("classify", tiles.path, "--split", split, *settings, "--out", tmp_path / "c")
    assert named in said


def test_a_tileset_of_a_newer_schema(tiles: TileSet, refused: Refused) -> None:
    info = json.loads((tiles.path / "tileset.json").read_text())
    (tiles.path / "tileset.json").write_text(json.dumps({**info, "schema": 99}))
    said = refused("data", "verify", tiles.path)
    assert "99" in said
    assert "newer" in said


def test_a_damaged_shard_is_named_by_every_command(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused
) -> None:
    shard = next(tiles.path.glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-50])
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert shard.name in refused("data", "verify", tiles.path)
    assert shard.name in refused(*train(tiles, split, tmp_path / "g", "--generator.steps=2"))
    assert shard.name in refused("data", "show", tiles.path, "--out", tmp_path / "sheet.html")


@pytest.mark.slow
def test_a_generator_trained_on_a_test_patient(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(set(tiles.patients.tolist()))
    Split(rule="x", folds=[Fold(train=names, validation=[], test=[])]).save(tmp_path / "all.json")
    assert main(train(tiles, tmp_path / "all.json", tmp_path / "g", "--generator.steps=2")) == 0
    capsys.readouterr()
    export_tiles(tiles, tmp_path / "files", layout="images")
    protocol = tiny_study(
        data={"reader": "phantom", "patients": 8, "tiles": 48},
        split={"file": "split.json"},
        generator={"steps": 2, "path": str(tmp_path / "g")},
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(protocol))
    words = ["study", "run", tmp_path / "study.yaml", "--data.root", tmp_path, "--out", tmp_path / "s"]
    said = refused(*words)
    assert "was trained on patient" in said
    assert any(name in said for name in names[5:])


@pytest.mark.slow
def test_donors_that_the_generator_was_not_trained_on(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tiles, split, tmp_path / "g", "--generator.steps=2")) == 0
    capsys.readouterr()
    other = phantom_tileset(tmp_path / "other", size=32)
    words = ["sample", tmp_path / "g", "--donors", other.path, "--tiles=4", "--out", tmp_path / "synthetic"]
    assert "32 px" in refused(*words)
    assert not (tmp_path / "synthetic").exists()
    assert "no generator here" in refused("sample", split.parent / "nowhere", *words[2:])


@pytest.mark.slow
def test_recipes_samplers_and_guidance_that_do_not_exist(
    tiles: TileSet, split: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(*train(tiles, split, tmp_path / "g", "--generator.recipe=per-clas"))
    assert all(word in said for word in ("recipe", "unified", "per-class", "per-clas"))
    assert not (tmp_path / "g").exists()
    words = ["--generator.steps=2", "--generator.recipe=per-class"]
    assert main(train(tiles, split, tmp_path / "g", *words)) == 0
    capsys.readouterr()
    sample = ["sample", tmp_path / "g", "--donors", tiles.path, "--tiles=4", "--out", tmp_path / "synthetic"]
    assert "dpmpp-2m" in refused(*sample, "--sampler=euler")
    assert "steps" in refused(*sample, "--steps=0")
    assert "`class` cannot guide" in refused(*sample, "--steps=1", "--guidance.class=2")
    assert not list(tmp_path.glob("*synthetic*"))
