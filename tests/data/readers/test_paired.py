from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleosynth.config import parse
from nucleosynth.data.readers import FrameSet, import_tiles, read_frames
from nucleosynth.data.readers.paired import PairedConfig
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError

CONFIG: dict[str, object] = {
    "dataset": "set",
    "mask_kind": "instances",
    "pattern": r"(?P<patient>\d+)_(?P<label>high|low)",
    "classes": ["low", "high"],
    "mpp": 0.25,
}
TNBC: dict[str, object] = {
    "dataset": "tnbc",
    "images": "images",
    "masks": "masks",
    "mask_kind": "binary",
    "pattern": r"(?P<patient>\d+)_",
    "mpp": 0.25,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("images/deep", "masks"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.zeros((64, 64), np.uint16)
    labels[10:20, 10:20] = 5
    labels[28:40, 28:40] = 900
    for number, stem in enumerate(("1_low_a", "1_high_b", "2_low_c")):
        image = np.random.default_rng(number).integers(0, 200, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / "deep" / f"{stem}.png")
        tifffile.imwrite(tmp_path / "masks" / f"{stem}.tif", labels)
    return tmp_path


def read(root: Path, **changes: object) -> FrameSet:
    return read_frames(parse(PairedConfig, {**CONFIG, **changes}), root=root)


def refused(root: Path, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        read(root, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_give_patient_and_label(root: Path) -> None:
    frames = {frame.frame_id: frame for frame in read(root).frames}
    assert {name: (frame.patient_id, frame.label) for name, frame in frames.items()} == {
        "set:1_low_a": ("set:1", 0),
        "set:1_high_b": ("set:1", 1),
        "set:2_low_c": ("set:2", 0),
    }


def test_without_a_pattern_patients_are_unknown(root: Path) -> None:
    frames = read(root, pattern=None, classes=[]).frames
    assert not any(frame.patient_known for frame in frames)
    assert len({frame.patient_id for frame in frames}) == 3


def test_nuclei_cut_by_a_border_keep_their_part_in_each_tile(root: Path, tmp_path: Path) -> None:
    config = parse(PairedConfig, CONFIG)
    tiles = import_tiles(config, TilesConfig(size=32), root=root, out=tmp_path / "tiles")
    assert tiles.masks is not None
    first = tiles.masks[:4]  # four tiles of one image; the larger nucleus lies across all of them
    assert [int(mask.max()) for mask in first] == [2, 1, 1, 1]
    assert int((first > 0).sum()) == 10 * 10 + 12 * 12


def test_masks_may_have_another_name(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_nuclei.tif"))
    assert len(read(root, mask="{stem}_nuclei").frames) == 3
    assert "no mask `1_high_b` below `masks`; did you mean `1_high_b_nuclei`?" in refused(root)


BAD: dict[str, tuple[Callable[[Path], object], dict[str, object], str]] = {
    "mask missing": (
        lambda root: (root / "masks/2_low_c.tif").unlink(), {}, "2_low_c.png: no mask `2_low_c`",
    ),
    "no match": (
        lambda root: None, {"pattern": r"(?P<patient>[a-z]+)_(?P<label>high)"}, "does not match the pattern",
    ),
    "label": (
        lambda root: None, {"classes": ["low", "middle"]}, "label `high` is outside the classes low, middle",
    ),
    "empty folder": (lambda root: (root / "none").mkdir(), {"images": "none"}, "none: holds no"),
    "no folder": (lambda root: None, {"masks": "nowhere"}, "nowhere: no such folder"),
    "one stem twice": (
        lambda root: Image.new("RGB", (8, 8)).save(root / "images/1_low_a.png"), {}, "has the name of",
    ),
    "unknown group": (
        lambda root: None, {"pattern": "(?P<pateint>.)", "classes": []}, "did you mean `patient`?",
    ),
    "broken pattern": (
        lambda root: None, {"pattern": "(?P<patient", "classes": []}, "not a regular expression",
    ),
    "classes alone": (lambda root: None, {"pattern": "(?P<patient>.)"}, "need each other"),
    "kind": (lambda root: None, {"mask_kind": "semantic"}, "'instances' or 'binary'"),
    "dataset": (lambda root: None, {"dataset": "a:b"}, "`dataset`"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_pairs_are_refused_in_one_line(root: Path, name: str) -> None:
    damage, changes, expected = BAD[name]
    damage(root)
    assert expected in refused(root, **changes)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.zeros((64, 60), np.uint16), "mask is 60 x 64 px, its image 2_low_c.png 64 x 64 px"),
        (np.zeros((64, 64, 3), np.uint8), "(RGB?)"),
    ],
)
def test_bad_masks_stop_the_import(root: Path, tmp_path: Path, mask: np.ndarray, expected: str) -> None:
    tifffile.imwrite(root / "masks/2_low_c.tif", mask)
    with pytest.raises(InputError, match=r"masks/2_low_c\.tif") as caught:
        import_tiles(parse(PairedConfig, CONFIG), TilesConfig(size=32), root=root, out=tmp_path / "tiles")
    assert expected in str(caught.value)
    assert not (tmp_path / "tiles").exists()


@pytest.mark.real
def test_tnbc_is_read_with_its_published_numbers(real_data: Callable[[str], Path]) -> None:
    root = real_data("tnbc")
    frames = read_frames(parse(PairedConfig, TNBC), root=root).frames
    (fold,) = json.loads((root / "split.json").read_text())["folds"]
    assert len(frames) == 50
    assert {frame.patient_id for frame in frames} == {name for part in fold.values() for name in part}
    assert len({frame.patient_id for frame in frames}) == 11
    nuclei = 0
    for frame in frames:
        image, mask = frame.read()
        assert image.shape == (512, 512, 3)
        assert mask is not None
        nuclei += int(mask.max())
    assert nuclei == 4026


@pytest.mark.real
def test_consep_instances_survive_tiling(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    root = real_data("consep")
    config = parse(
        PairedConfig,
        {"dataset": "consep", "images": "images/test", "masks": "inst/test", "mask_kind": "instances",
         "pattern": r"(?P<patient>test_\d+)", "mpp": 0.25},
    )  # fmt: skip
    found = read_frames(config, root=root)
    assert (len(found.frames), len({frame.patient_id for frame in found.frames})) == (224, 14)
    _, mask = found.frames[0].read()
    assert mask is not None
    types = json.loads((root / "types_test.json").read_text())
    assert len(np.unique(mask)) - 1 == types[found.frames[0].frame_id.removeprefix("consep:")]["n_inst"]
