"""The classifier: what a batch holds, and that it learns what can be learned."""

from __future__ import annotations

import numpy as np
import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.classify.augmentation import augment, turn_tiles
from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.mixture import (
    Mixture,
    MixturePart,
    batch_frequencies,
    class_frequencies,
    loss_weights,
)
from nucleosynth.classify.train import classify_tiles
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import write_tileset
from nucleosynth.errors import InputError
from nucleosynth.files import read_jsonl


def flat(path, values, labels, patients=None):
    """Write tiles of one grey value each."""
    rows = (
        Tile(
            tile_id=f"f:{i}",
            patient_id=f"f:{patients[i] if patients else i % 4}",
            label=int(label),
            mpp=0.5,
            image=np.full((16, 16, 3), value, np.uint8),
        )
        for i, (value, label) in enumerate(zip(values, labels, strict=True))
    )
    return write_tileset(path, rows, classes=["a", "b"])


def test_shares_and_frequencies_are_those_requested(tmp_path):
    real = flat(tmp_path / "real", [10] * 40 + [20] * 10, [0] * 40 + [1] * 10)
    made = flat(tmp_path / "made", [110] * 5 + [120] * 5, [0] * 5 + [1] * 5)
    parts = [MixturePart(real, np.arange(50), 0.75), MixturePart(made, np.arange(10), 0.25)]
    mixture = Mixture(parts, np.array([0.8, 0.2]), seed=0)
    drawn = [mixture.draw(step, 100) for step in range(60)]
    values = np.concatenate([images[:, 0, 0, 0] for images, _ in drawn])
    labels = np.concatenate([labels for _, labels in drawn])
    assert np.mean(values >= 110) == pytest.approx(0.25, abs=0.02)
    assert np.mean(labels == 1) == pytest.approx(0.2, abs=0.02)
    assert np.array_equal(labels, (values % 100 == 20).astype(int))


def test_a_part_that_lacks_a_class_leaves_its_share(tmp_path):
    real = flat(tmp_path / "real", [10, 20], [0, 1])
    made = flat(tmp_path / "made", [110], [0])
    mixture = Mixture(
        [MixturePart(real, np.arange(2), 0.5), MixturePart(made, np.arange(1), 0.5)],
        np.array([0.5, 0.5]),
        seed=0,
    )
    images, labels = mixture.draw(0, 400)
    assert set(images[labels == 1, 0, 0, 0].tolist()) == {20}
    with pytest.raises(InputError, match="class 1 has no tile"):
        Mixture([MixturePart(made, np.arange(1), 1.0)], np.array([0.5, 0.5]), seed=0)


def test_balance_rules_by_hand():
    natural = class_frequencies(np.array([0, 0, 0, 1, -1]), 2)
    assert natural.tolist() == [0.75, 0.25]
    assert batch_frequencies(natural, "sampler").tolist() == [0.5, 0.5]
    assert batch_frequencies(natural, "loss").tolist() == [0.75, 0.25]
    weights = loss_weights(natural, "loss")
    assert (weights * natural).tolist() == pytest.approx([0.5, 0.5])
    assert loss_weights(natural, "sampler").tolist() == [1, 1]


def test_turning_keeps_pixels_and_augmentation_repeats():
    images = np.random.default_rng(0).integers(60, 250, (8, 16, 16, 3), dtype=np.uint8)
    turned = turn_tiles(np.repeat(images[:1], 8, axis=0), np.arange(8))
    assert len({t.tobytes() for t in turned}) == 8
    assert all(np.array_equal(np.sort(t.ravel()), np.sort(images[0].ravel())) for t in turned)
    assert np.array_equal(augment(images, 1, 5, strength=1.0), augment(images, 1, 5, strength=1.0))
    assert not np.array_equal(augment(images, 1, 5, strength=1.0), augment(images, 1, 6, strength=1.0))


@pytest.mark.slow
def test_it_learns_light_from_dark_and_repeats(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=60)
    values = np.where(labels, 200, 120) + rng.integers(-10, 10, 60)
    tiles = flat(tmp_path / "tiles", values, labels, [i % 6 for i in range(60)])
    split = Split(
        rule="x", folds=[Fold(train=["f:0", "f:1", "f:2"], validation=["f:3"], test=["f:4", "f:5"])]
    )
    config = ClassifierConfig(model="test_resnet", steps=60, batch=16, lr=3e-3, jitter=0.1, seeds=1)
    result = classify_tiles(tiles, split, config, out=tmp_path / "a", test=True, device="cpu")
    assert result["test"]["balanced_accuracy"] > 0.95
    again = classify_tiles(tiles, split, config, out=tmp_path / "b", device="cpu")
    assert "test" not in again
    again = classify_tiles(tiles, split, config, out=tmp_path / "b", test=True, device="cpu")
    assert len(read_jsonl(tmp_path / "b" / "test_access.jsonl")) == 1
    assert np.array_equal(np.load(tmp_path / "a" / "test.npy"), np.load(tmp_path / "b" / "test.npy"))
    assert again["threshold"] == result["threshold"]


def test_the_test_patients_are_not_read_unless_requested(tmp_path):
    tiles = phantom_tileset(tmp_path / "tiles")
    names = sorted(set(tiles.patients.tolist()))
    split = Split(rule="x", folds=[Fold(train=names[:5], validation=names[5:6], test=names[6:])])
    config = ClassifierConfig(model="test_resnet", steps=1, batch=4, views=1)
    result = classify_tiles(tiles, split, config, out=tmp_path / "run", device="cpu")
    assert "test" not in result
    assert not (tmp_path / "run" / "test.npy").exists()


def test_an_unknown_model_is_named(tmp_path):
    tiles = phantom_tileset(tmp_path / "tiles")
    names = sorted(set(tiles.patients.tolist()))
    split = Split(rule="x", folds=[Fold(train=names[:5], validation=names[5:6], test=names[6:])])
    with pytest.raises(InputError, match="timm has no such model"):
        classify_tiles(tiles, split, ClassifierConfig(model="efficientnetv2", steps=1), out=tmp_path / "run")
