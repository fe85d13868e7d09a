"""Training end to end on drawn tissue, with a few steps of the real networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from tests.nuclei.drawn import disc_labels, painted, write_pictures
from tests.registries import keep_as_is

from nucleosynth.cli import main
from nucleosynth.errors import InputError
from nucleosynth.files import read_jsonl
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.learned.config import NETWORKS
from nucleosynth.segmentation.learned.weights import CARD, WEIGHTS, load_weights
from nucleosynth.segmentation.segmenter import get_segmenter
from nucleosynth.study.design.segmentation import SegmentationConfig

SETTINGS = {
    "recipe": "judge",
    "data": [
        {
            "name": "drawn",
            "licence": "CC0",
            "images": "images",
            "masks": "masks",
            "mpp": 0.5,
            "validation": ["c"],
        }
    ],
    "crop": 48,
    "batch": 4,
    "steps": 2,
}


def drawn(seed: int) -> np.ndarray:
    middles = np.stack(np.meshgrid([6, 18, 30], [6, 18, 30]), -1).reshape(-1, 2)
    moved = middles + np.random.default_rng(seed).uniform(-2.2, 2.2, middles.shape)
    return disc_labels([(y, x) for y, x in moved], radius=3.5, size=72)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return ``train(out, **changes)``: the exit code of the command on three drawn pictures."""
    write_pictures(tmp_path / "data", {name: drawn(i) for i, name in enumerate("abc")})
    monkeypatch.chdir(tmp_path)

    def command(out, **changes) -> int:
        study = tmp_path / "segmenter.yaml"
        study.write_text(yaml.safe_dump({"segmenter": {**SETTINGS, **changes}}))
        return main(["train", "segmenter", str(study), "--data.root", "data", "--out", str(out)])

    return command


@pytest.mark.parametrize("recipe", NETWORKS)
def test_a_run_leaves_weights_a_card_and_validation(recipe, train, tmp_path):
    assert train("run", recipe=recipe) == 0
    run = tmp_path / "run"
    card = json.loads((run / "weights" / CARD).read_text())
    assert card["recipe"] == recipe
    assert card["training"] == [
        {"name": "drawn", "licence": "CC0", "pictures": 2, "nuclei": 18, "held_out": ["c"]}
    ]
    assert 0 <= card["validation"]["pq"] <= 1
    assert (run / "weights" / WEIGHTS).stat().st_size < 4e6
    assert list((run / "previews").glob("*.png"))
    segmenter = get_segmenter(f"weights:{run / 'weights'}")
    assert segmenter.weights_hash == card["weights_hash"]


def test_the_same_seed_gives_the_same_weights(train, tmp_path):
    assert train("one") == train("two") == 0
    assert (tmp_path / "one/weights" / WEIGHTS).read_bytes() == (
        tmp_path / "two/weights" / WEIGHTS
    ).read_bytes()


def test_a_finished_run_is_not_trained_again_and_another_is_refused(train, tmp_path, capsys):
    assert train("run") == train("run") == 0
    assert len(read_jsonl(tmp_path / "run" / "metrics.jsonl")) == 1
    assert train("run", batch=2) == 2
    assert "run with other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_it_learns_drawn_nuclei(train, tmp_path):
    assert train("run", recipe="embedded", steps=120, augmentation={"scale": [0.9, 1.1], "blank": 0}) == 0
    unseen = [drawn(seed) for seed in (7, 8)]
    segmenter = get_segmenter(f"weights:{tmp_path / 'run' / 'weights'}")
    found = segmenter(np.stack([painted(labels) for labels in unseen]), 0.5)
    assert mask_agreement(found, np.stack(unseen))["f1"] > 0.75


def test_a_new_network_is_one_class_and_one_line(train, monkeypatch, tmp_path):
    keep_as_is(NETWORKS, monkeypatch)
    NETWORKS.register("pixel", "tests.segmentation.learned.pixel_net:PixelNet")
    assert train("run", recipe="pixel") == 0
    segmenter = get_segmenter(f"weights:{tmp_path / 'run' / 'weights'}")
    assert segmenter.name == "pixel"
    assert segmenter(painted(drawn(0))[None], 0.5).shape == (1, 72, 72)
    assert SegmentationConfig(recipe="pixel").recipe == "pixel"


def test_bad_requests_are_one_line(train, capsys):
    for changes, message in (
        ({"recipe": "stardist"}, "`recipe`: unknown network 'stardist'; known are embedded, judge"),
        ({"minutes": 1.0}, "give `minutes` or `steps`"),
        ({"data": []}, "data"),
        ({"crop": 50}, "crop"),
    ):
        assert train("run", **changes) == 2
        assert message in capsys.readouterr().err


def test_damaged_weights_are_named(train, tmp_path):
    assert train("run") == 0
    weights = tmp_path / "run" / "weights"
    (weights / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(InputError, match=WEIGHTS):
        load_weights(weights)
    (weights / CARD).write_text('{"recipe": "unet"}')
    with pytest.raises(InputError, match="unknown network 'unet'; known are embedded, judge"):
        load_weights(weights)
    with pytest.raises(InputError, match="cannot be read"):
        get_segmenter(f"weights:{tmp_path / 'nowhere'}")
