"""What lite0's features are, unknown names, and features that are not computed twice."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.extractors import lite0_extractor
from nucleosynth.evaluate.fidelity.features import Remembering, get_extractor


def tiles(n: int, size: int = 64, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(n, size, size, 3)).astype(np.uint8)


@pytest.mark.slow
def test_batch_size_changes_nothing_and_input_size_does() -> None:
    pairs, all_at_once = lite0_extractor(size=64, batch=2), lite0_extractor(size=64, batch=5)
    larger = lite0_extractor(size=96)
    assert pairs(tiles(5)) == pytest.approx(all_at_once(tiles(5)), abs=1e-4)
    assert pairs.weights_hash == larger.weights_hash
    assert (pairs.name, larger.name) == ("lite0@64", "lite0@96")
    assert np.abs(pairs(tiles(2)) - larger(tiles(2))).max() > 0.01


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"unknown extractor 'lite'; did you mean lite0\? known are lite0, "):
        get_extractor("lite")
    with pytest.raises(InputError, match=r"timm:MODEL\[@FILE\], classifier:RUN"):
        get_extractor("dino:small")
    with pytest.raises(InputError, match="lite0 has one set of weights"):
        get_extractor("lite0:mine.safetensors")


def test_features_of_a_tile_are_computed_once():
    class Counting:
        name, weights_hash = "mean", "0"
        seen = 0

        def __call__(self, images):
            self.seen += len(images)
            return images.mean(axis=(1, 2), dtype=np.float32)

    counting = Counting()
    remembering = Remembering(counting)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(remembering(images), remembering(images.copy()))
    assert np.array_equal(remembering(images[2:0:-1]), Counting()(images[2:0:-1]))
    assert counting.seen == 4
    more = np.concatenate([images[:1], 255 - images[:2], images[1:2], 255 - images[:1]])
    assert np.array_equal(remembering(more), Counting()(more))
    assert counting.seen == 6
    assert remembering(images[:0]).shape == (0, 3)
    assert (remembering.name, remembering.weights_hash) == ("mean", "0")
