"""Verdicts from intervals: words, Holm's adjustment, and the claim against all controls."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.verdict import beats_all, holm, verdict


@pytest.mark.parametrize(
    ("lo", "hi", "metric", "says"),
    [
        (0.01, 0.05, "auroc", "helps"),
        (-0.05, -0.01, "auroc", "harms"),
        (0.01, 0.05, "kid", "harms"),
        (-0.05, -0.01, "fid", "helps"),
        (-0.02, 0.04, "kappa", "no difference shown: the interval from -0.02 to +0.04 includes zero"),
        (-0.0004, 0.04, "kappa", "no difference shown: the interval from -0.0004 to +0.04 includes zero"),
        (0.0, 0.04, "kappa", "no difference shown: the interval from 0 to +0.04 includes zero"),
        (None, None, "auroc", "too few patients for an interval claim"),
    ],
)
def test_verdict(lo: float | None, hi: float | None, metric: str, says: str) -> None:
    assert verdict(lo, hi, metric) == says


def test_holm_by_hand() -> None:
    # 3 x 0.01, then 2 x 0.03, then 0.04, which may not fall below the one before.
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03})
    assert found == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert list(found) == ["a", "b", "c"]


def test_holm_agrees_with_statsmodels_and_counts_no_missing_value() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    named: dict[str, float | None] = {f"c{i}": value for i, value in enumerate(p)}
    found = holm({"none": None, **named, "nor": None})
    assert [found[name] for name in named] == pytest.approx(multipletests(p, method="holm")[1])
    assert found["none"] is None
    assert found["nor"] is None
    assert all(found[name] >= p for name, p in named.items())


def test_holm_of_one_or_none() -> None:
    assert holm({"a": 0.03}) == {"a": pytest.approx(0.03)}
    assert holm({"a": None}) == {"a": None}
    assert holm({}) == {}


@pytest.mark.parametrize("p", [-0.1, 1.2, float("nan")])
def test_holm_names_what_is_no_p_value(p: float) -> None:
    with pytest.raises(InputError, match=r"p-value of dose / 1: .*; expected a number in \[0, 1\]"):
        holm({"real / 1": 0.5, "dose / 1": p})


def against(baseline: str, metric: str, interval: list[float] | None) -> dict[str, Any]:
    return {"baseline": baseline, "metric": metric, "interval": interval}


def test_a_claim_needs_every_control_and_every_metric() -> None:
    good = [
        against(control, metric, [0.02, 0.08])
        for control in ("real", "augmented", "oversampled")
        for metric in ("balanced_accuracy", "auroc")
    ]
    least = against("shuffled", "auroc", [0.001, 0.08])
    found = beats_all([*good, least])
    assert found["holds"] is True
    assert found["weakest"] == {"baseline": "shuffled", "metric": "auroc", "bound": 0.001}
    spoilt = beats_all([*good, least, against("natural", "auroc", [-0.01, 0.2])])
    assert spoilt["holds"] is False
    assert spoilt["weakest"]["baseline"] == "natural"
    assert beats_all([against("real", "auroc", [0.0, 0.1])])["holds"] is False  # zero is not excluded
    json.dumps([found, spoilt], allow_nan=False)


def test_a_comparison_without_interval_supports_no_claim() -> None:
    found = beats_all([against("real", "auroc", None), against("augmented", "auroc", [-0.5, 0.1])])
    assert found == {"holds": False, "weakest": {"baseline": "real", "metric": "auroc", "bound": None}}
    assert beats_all([]) == {"holds": False, "weakest": None}


def test_where_lower_is_better_the_upper_bound_counts() -> None:
    better, worse = against("real", "loss", [-0.3, -0.1]), against("augmented", "kid", [0.1, 0.3])
    assert beats_all([better]) == {
        "holds": True,
        "weakest": {"baseline": "real", "metric": "loss", "bound": -0.1},
    }
    assert beats_all([better, worse])["weakest"] == {"baseline": "augmented", "metric": "kid", "bound": 0.3}
