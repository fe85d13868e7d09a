from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleosynth.config import parse
from nucleosynth.data.readers import FrameSet, import_tiles, read_frames
from nucleosynth.data.readers.folder import FolderConfig
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError

CONFIG: dict[str, object] = {"dataset": "set", "mpp": 0.5}
FILES = ("normal/7_a.png", "normal/deep/7_b.png", "atypical/8_a.png", "unlabelled/9_a.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(number).integers(0, 200, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / ".DS_Store").write_bytes(b"")
    return tmp_path


def read(root: Path, **changes: object) -> FrameSet:
    return read_frames(parse(FolderConfig, {**CONFIG, **changes}), root=root)


def test_folders_are_classes_sorted_by_name(root: Path) -> None:
    found = read(root)
    assert found.classes == ("atypical", "normal")
    labels = {frame.frame_id: frame.label for frame in found.frames}
    assert labels == {
        "set:normal/7_a": 1,
        "set:normal/deep/7_b": 1,
        "set:atypical/8_a": 0,
        "set:unlabelled/9_a": None,
    }


def test_classes_can_be_put_in_order(root: Path) -> None:
    found = read(root, classes=["normal", "atypical"], ordinal=True)
    assert (found.classes, found.ordinal) == (("normal", "atypical"), True)
    assert {frame.label for frame in found.frames if "normal/" in frame.frame_id} == {0}


def test_patients_are_unknown_without_a_pattern_and_read_with_one(root: Path) -> None:
    frames = read(root).frames
    assert len({frame.patient_id for frame in frames}) == 4
    assert not any(frame.patient_known for frame in frames)
    frames = read(root, pattern=r"(?P<patient>\d)_").frames
    assert {frame.patient_id for frame in frames} == {"set:7", "set:8", "set:9"}
    assert all(frame.patient_known for frame in frames)


def test_import_marks_unknown_patients(root: Path, tmp_path: Path) -> None:
    config = parse(FolderConfig, CONFIG)
    tiles = import_tiles(config, TilesConfig(size=32), root=root, out=tmp_path / "out" / "tiles")
    assert tiles.column("patient_known") == [False] * 4
    assert sorted(tiles.labels.tolist()) == [-1, 0, 1, 1]


BAD: dict[str, tuple[Callable[[Path], object], dict[str, object], str]] = {
    "loose image": (lambda root: shutil.copy(root / FILES[0], root / "x.png"), {}, "x.png: lies outside"),
    "empty class": (lambda root: (root / "benign").mkdir(), {}, "benign: class folder holds no image"),
    "misspelt class": (lambda root: None, {"classes": ["normal", "atipical"]}, "did you mean `atypical`?"),
    "strange folder": (lambda root: None, {"classes": ["normal"]}, "atypical: not one of the classes"),
    "no image": (lambda root: (root / "none").mkdir(), {"images": "none"}, "none: holds no"),
    "one id twice": (
        lambda root: shutil.copy(root / FILES[0], root / "normal/7_a.webp"), {}, "is already that of",
    ),
    "only unlabelled": (
        lambda root: [shutil.rmtree(root / name) for name in ("normal", "atypical")], {},
        "one folder per class",
    ),
    "label in the pattern": (lambda root: None, {"pattern": "(?P<label>.)"}, "the folder is the class"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused_in_one_line(root: Path, name: str) -> None:
    damage, changes, expected = BAD[name]
    damage(root)
    with pytest.raises(InputError) as caught:
        read(root, **changes)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
