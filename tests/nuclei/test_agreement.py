"""Agreement by hand, its chance level against real permutations, and the correction."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import corrected_agreement, mask_agreement


def random_masks(n: int, coverage: float, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 32, 32)) < coverage


def test_by_hand() -> None:
    predicted = np.array(
        [[[5, 5, 0, 0]], [[0, 0, 0, 7]]]
    )  # labels count as foreground, whatever their number
    true = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 1]]])
    found = mask_agreement(predicted, true)
    assert found["iou"] == pytest.approx(2 / 4)
    assert found["dice"] == pytest.approx(4 / 6)
    assert (found["chance"]["iou"], found["chance"]["dice"]) == (0.0, 0.0)


def test_unrelated_masks_are_at_chance() -> None:
    found = mask_agreement(random_masks(50, 0.3), random_masks(50, 0.3, seed=1))
    assert found["iou"] == pytest.approx(0.3 / 1.7, abs=0.005)  # p / (2 - p)
    assert found["chance"]["iou"] == pytest.approx(found["iou"], abs=0.002)


def test_the_exact_chance_level_is_the_mean_over_permutations_within_patient() -> None:
    generator = np.random.default_rng(3)
    groups = np.array(["a"] * 5 + ["b"] * 4)
    predicted, true = random_masks(9, 0.4), random_masks(9, 0.4, seed=1)
    predicted |= true  # so that keeping one's own mask would show
    both = []
    while len(both) < 4000:
        order = np.concatenate([generator.permutation(5), 5 + generator.permutation(4)])
        if (order != np.arange(9)).all():
            both.append(np.count_nonzero(predicted & true[order]))
    total, mean = np.count_nonzero(predicted) + np.count_nonzero(true), np.mean(both)
    found = mask_agreement(predicted, true, groups=groups)["chance"]
    assert found["iou"] == pytest.approx(mean / (total - mean), rel=2e-3)
    assert found["dice"] == pytest.approx(2 * mean / total, rel=2e-3)


def test_order_of_tiles_does_not_matter() -> None:
    predicted, true = random_masks(12, 0.3), random_masks(12, 0.5, seed=1)
    groups = np.array(list("aabbbbccccdd"))
    order = np.random.default_rng(0).permutation(12)
    assert mask_agreement(predicted[order], true[order], groups=groups[order]) == mask_agreement(
        predicted, true, groups=groups
    )


def test_a_patient_with_one_tile_has_no_chance_level() -> None:
    masks = random_masks(3, 0.3)
    alone = mask_agreement(masks, masks, groups=["a", "b", "c"])
    assert alone["chance"] == dict.fromkeys(alone["chance"])
    assert {"iou", "dice", "aji", "pq", "dq", "sq", "f1", "ap"} <= set(alone["chance"])
    with_pair = mask_agreement(masks, masks, groups=["a", "a", "c"])["chance"]
    assert with_pair == mask_agreement(masks[:2], masks[:2])["chance"]


def test_empty_masks_agree() -> None:
    nothing = np.zeros((2, 4, 4), np.uint16)
    assert mask_agreement(nothing, nothing)["iou"] == 1.0


def test_corrected_is_one_on_real_and_zero_at_chance() -> None:
    true = random_masks(20, 0.3)
    predicted = np.roll(true, 1, axis=2) | true
    same = corrected_agreement(predicted, true, real_predicted=predicted, real_true=true)
    assert same["corrected"] == pytest.approx(1.0)
    assert same["iou"] == same["ceiling"]
    chance = corrected_agreement(
        random_masks(20, 0.3, seed=2), true, real_predicted=predicted, real_true=true
    )
    assert chance["corrected"] == pytest.approx(0.0, abs=0.02)
    assert chance["ceiling_chance"] != chance["chance"]  # each from its own predictions


def test_a_segmenter_at_chance_on_real_tiles_corrects_nothing() -> None:
    full = np.ones((3, 4, 4), bool)
    assert corrected_agreement(full, full, real_predicted=full, real_true=full)["corrected"] is None


def test_shapes_are_checked() -> None:
    masks = random_masks(2, 0.3)
    with pytest.raises(InputError, match="differ in shape"):
        mask_agreement(masks, masks[:1])
    with pytest.raises(InputError, match="expected \\(n, h, w\\)"):
        mask_agreement(masks[0], masks[0])
    with pytest.raises(InputError, match="groups has 3 entries for 2 tiles"):
        mask_agreement(masks, masks, groups=["a", "b", "c"])
