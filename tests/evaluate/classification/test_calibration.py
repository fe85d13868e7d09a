"""Calibration: solved by hand, against scikit-learn, and what its bins may not depend on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.calibration import calibration


def two(positive: np.ndarray | list[float]) -> np.ndarray:
    return np.stack([1 - np.asarray(positive), positive], axis=1)


def outcomes(k: int, n: int = 400, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are exactly right, and labels drawn by them."""
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.ones(k), size=n)
    return p, (draw.random(n)[:, None] > p.cumsum(1)).sum(1)


def test_two_classes_by_hand() -> None:
    found = calibration(two([0.1, 0.3, 0.6, 0.8]), [0, 1, 1, 1], bins=2)
    assert found["reliability"] == [
        {"predicted": pytest.approx(0.2), "observed": 0.5, "n": 2},
        {"predicted": pytest.approx(0.7), "observed": 1.0, "n": 2},
    ]
    assert found["ece"] == pytest.approx(0.3)
    assert found["brier"] == pytest.approx((0.1**2 + 0.7**2 + 0.4**2 + 0.2**2) / 4)


def test_more_classes_use_the_predicted_one() -> None:
    p = [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]
    found = calibration(p, [0, 0, 2, 2], bins=1)
    assert found["reliability"] == [{"predicted": pytest.approx(0.7), "observed": 0.75, "n": 4}]
    assert found["ece"] == pytest.approx(0.05)
    assert found["brier"] == pytest.approx((0.26 + (0.81 + 0.64 + 0.01) + (0.09 + 0.09 + 0.36) + 0) / 4)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_brier_agrees_with_scikit_learn(k: int) -> None:
    p, y = outcomes(k)
    of_class = [sk.brier_score_loss(y == c, p[:, c]) for c in range(k)]
    expected = of_class[1] if k == 2 else sum(of_class)
    assert calibration(p, y)["brier"] == pytest.approx(expected)


def test_reliability_agrees_with_scikit_learn() -> None:
    p, y = outcomes(2, 1000)
    observed, predicted = calibration_curve(y, p[:, 1], n_bins=10, strategy="quantile")
    found = calibration(p, y)["reliability"]
    assert [one["observed"] for one in found] == pytest.approx(observed)
    assert [one["predicted"] for one in found] == pytest.approx(predicted)
    assert {one["n"] for one in found} == {100}


@pytest.mark.parametrize("k", [2, 4])
def test_right_probabilities_have_a_small_error_and_sure_ones_a_large(k: int) -> None:
    p, y = outcomes(k, 20000)
    sure = p**4 / (p**4).sum(1, keepdims=True)
    assert calibration(p, y)["ece"] < 0.015
    assert calibration(sure, y)["ece"] > 0.1


def test_neither_the_order_of_tiles_nor_ties_matter() -> None:
    p, y = outcomes(2, 300)
    p = two(np.round(p[:, 1], 1))
    order = np.random.default_rng(1).permutation(len(y))
    found, again = calibration(p, y), calibration(p[order], y[order])
    assert again["ece"] == pytest.approx(found["ece"])
    assert [one["n"] for one in again["reliability"]] == [one["n"] for one in found["reliability"]]
    assert sum(one["n"] for one in found["reliability"]) == 300
    repeated = calibration(np.repeat(p, 3, axis=0), np.repeat(y, 3))
    assert repeated["ece"] == pytest.approx(found["ece"])


def test_one_probability_is_one_bin() -> None:
    found = calibration(two([0.5] * 8), [0, 1] * 4)
    assert found["reliability"] == [{"predicted": 0.5, "observed": 0.5, "n": 8}]
    assert found["ece"] == 0
    few = calibration(two([0.2, 0.9]), [0, 1])  # fewer tiles than bins
    assert [one["n"] for one in few["reliability"]] == [1, 1]
    json.dumps(few, allow_nan=False)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="probabilities, row 1: expected 2 values that sum to 1"):
        calibration([[0.5, 0.5], [0.9, 0.9]], [0, 1])
    with pytest.raises(InputError, match=r"labels, row 0: 2 is not in 0\.\.1"):
        calibration([[0.5, 0.5]], [2])
    with pytest.raises(InputError, match="bins 0: expected at least 1"):
        calibration([[0.5, 0.5]], [1], bins=0)
