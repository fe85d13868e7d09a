"""Masks in a study: made where they are missing, scored by another segmenter than their maker."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.nuclei.drawn import disc_labels, painted, scattered
from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.segmentation.backends.learned import embedded
from nucleosynth.segmentation.segmenter import get_segmenter, register_segmenter
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.run import run_study

PATIENTS = 6


def bare_study(root: Path, **changes) -> StudyConfig:
    """Return a study of images without classes and without masks, one per patient, four tiles each."""
    (root / "images").mkdir(parents=True)
    for patient in range(PATIENTS):
        labels = disc_labels(scattered(patient, count=14, side=64), radius=4.5, size=64, mpp=1.0)
        Image.fromarray(painted(labels, seed=patient)).save(root / "images" / f"p{patient}.png")
    names = [f"p{patient}" for patient in range(PATIENTS)]
    (root / "rows.csv").write_text("\n".join(["name", *names]))
    data = {
        "reader": "table",
        "dataset": "lab",
        "table": "rows.csv",
        "images": "images",
        "image": "{name}.png",
        "patient": "{name}",
        "mpp": 1.0,
    }
    tiles = {"size": 32, "mpp": 1.0, "min_tissue": 0}
    return parse(StudyConfig, tiny_study(data=data, tiles=tiles, arms={}, **changes))


@pytest.mark.slow
def test_missing_masks_are_found_in_whole_frames_and_the_score_is_consistency(tmp_path):
    report = run_study(bare_study(tmp_path), root=tmp_path, out=tmp_path / "run", device="cpu")
    tiles = TileSet.open(tmp_path / "run" / "tiles")
    assert tiles.has_mask.all()
    assert tiles.info["provenance"]["masks"]["weights_hash"] == get_segmenter("embedded").weights_hash
    score = read_json(tmp_path / "run" / "report.json")["agreement"]["test"]
    assert (score["judge"], score["kind"], score["ceiling"]) == ("judge", "consistency", None)
    assert "between segmenters" in report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_without_a_maker_tiles_stay_without_masks(tmp_path):
    bare = bare_study(tmp_path, segmenter={"make": "none"})
    run_study(bare, root=tmp_path, out=tmp_path / "run", device="cpu")
    assert not TileSet.open(tmp_path / "run" / "tiles").has_mask.any()
    assert read_json(tmp_path / "run" / "report.json")["agreement"] is None


def test_the_maker_under_another_name_is_refused_before_anything_is_trained(tmp_path):
    register_segmenter("other-name", embedded)
    bare = bare_study(tmp_path, segmenter={"judge": "other-name"})
    with pytest.raises(InputError, match="made the masks that it would score"):
        run_study(bare, root=tmp_path, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "fold-0").exists()


def test_a_mask_judge_that_makes_the_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot score masks it makes"):
        bare_study(tmp_path, segmenter={"make": "judge"})
