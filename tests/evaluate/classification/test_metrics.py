"""Metrics against scikit-learn and statsmodels, their rules on missing classes, and the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from statsmodels.stats.inter_rater import cohens_kappa

from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import (
    MEANS_OVER_CLASSES,
    METRICS,
    confusion_matrix,
    decide,
    metric_statistic,
    scores,
)
from nucleosynth.evaluate.classification.threshold import choose_threshold
from nucleosynth.evaluate.statistics.bootstrap import draw_counts, paired_difference


def classifier(k: int, n: int = 300, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(k, size=n, p=np.arange(1, k + 1) / sum(range(1, k + 1)))
    logits = generator.normal(size=(n, k)) + 1.2 * np.eye(k)[labels]
    p = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 2)  # rounded: many ties
    p = p / p.sum(1, keepdims=True)
    return p, labels, generator.choice([f"p{i:02d}" for i in range(20)], size=n)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_agrees_with_scikit_learn(k: int) -> None:
    p, y, _ = classifier(k)
    found, predicted = scores(p, y), decide(p)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y, predicted, average="macro"))
    assert found["kappa"] == pytest.approx(sk.cohen_kappa_score(y, predicted, weights="quadratic"))
    assert found["confusion"] == sk.confusion_matrix(y, predicted).tolist()
    by_class = sk.roc_auc_score(y, p[:, 1]) if k == 2 else sk.roc_auc_score(y, p, multi_class="ovr")
    assert found["auroc"] == pytest.approx(by_class)
    assert found["n"] == 300


def test_kappa_agrees_with_statsmodels() -> None:
    p, y, _ = classifier(4)
    table = confusion_matrix(y, decide(p), classes=4)
    assert scores(p, y)["kappa"] == pytest.approx(cohens_kappa(table, wt="quadratic").kappa)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [2, 3])
def test_drawing_patients_equals_repeating_their_tiles(metric: str, k: int) -> None:
    p, y, groups = classifier(k)
    statistic = metric_statistic(metric, p, y, groups=groups)
    counts = draw_counts(20, n=5, seed=0)
    patients = np.unique(groups)
    for count, value in zip(counts.astype(int), statistic(counts.astype(float)), strict=True):
        drawn = np.repeat(patients, count)
        rows = np.concatenate([np.flatnonzero(groups == patient) for patient in drawn])
        assert value == pytest.approx(scores(p[rows], y[rows])[metric])


def test_missing_classes() -> None:
    p = np.eye(3)[[0, 0, 1]]
    only = scores(p, [0, 0, 0])
    assert only["balanced_accuracy"] == pytest.approx(2 / 3)  # recall of class 0 alone
    assert only["macro_f1"] == pytest.approx((4 / 5 + 0) / 2)  # class 2 is in neither labels nor predictions
    assert only["auroc"] is None
    assert scores(np.eye(3)[[0, 0]], [0, 0])["kappa"] is None
    assert scores(np.eye(3)[[0, 1, 1]], [0, 1, 1])["auroc"] == 1.0  # class 2 has no positives


@pytest.mark.parametrize("metric", MEANS_OVER_CLASSES)
def test_resamples_without_a_class_are_undefined(metric: str) -> None:
    y, groups = np.array([0, 0, 1, 0, 1, 2]), np.array(["a", "a", "a", "b", "b", "c"])
    p = np.full((6, 3), 0.2) + 0.4 * np.eye(3)[[0, 1, 1, 0, 0, 2]]
    statistic = metric_statistic(metric, p, y, groups=groups)
    everyone, without_c, c_alone, a_alone = statistic(
        np.array([[1, 1, 1], [2, 1, 0], [0, 0, 1.0], [1, 0, 0]])
    )
    assert everyone == pytest.approx(scores(p, y)[metric])
    assert np.isnan(without_c), "a mean over two classes among means over three"
    assert c_alone == 1 or metric == "auroc", "a patient alone is measured by what she has"
    assert a_alone == pytest.approx(scores(p[:3], y[:3])[metric])


def test_ties_count_half() -> None:
    assert scores(np.full((4, 2), 0.5), [0, 1, 0, 1])["auroc"] == 0.5


def test_threshold_moves_decisions_and_not_the_ranking() -> None:
    p, y, _ = classifier(2)
    low, high = scores(p, y, threshold=0.1), scores(p, y, threshold=0.9)
    assert low["auroc"] == high["auroc"]
    assert np.sum(low["confusion"], axis=0)[1] > np.sum(high["confusion"], axis=0)[1]


@pytest.mark.parametrize("seed", range(8))
def test_no_threshold_beats_the_chosen_one(seed: int) -> None:
    p, y, _ = classifier(2, 40, seed=seed)
    best = choose_threshold(p, y)
    assert best is not None
    reached = scores(p, y, threshold=best)["balanced_accuracy"]
    every = [scores(p, y, threshold=t)["balanced_accuracy"] for t in np.linspace(0, 1, 401)]
    assert reached == pytest.approx(max(every))
    equal = [t for t, value in zip(np.linspace(0, 1, 401), every, strict=True) if value > reached - 1e-12]
    gaps = np.diff(np.unique(np.append(p[:, 1], [0, 1]))).max()
    assert abs(best - 0.5) <= min(abs(t - 0.5) for t in equal) + gaps  # ties: the nearest to 0.5


@pytest.mark.parametrize(
    ("positive", "labels", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.5),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 0.25),
        ([0.6, 0.7, 0.8, 1.0], [0, 0, 0, 1], 0.9),
        ([0.2, 0.3], [0, 0], 0.5),
        ([1.0, 1.0], [0, 1], 0.5),
        ([0.0, 0.0], [0, 1], 0.5),
    ],
)
def test_threshold_by_hand(positive: list[float], labels: list[int], expected: float) -> None:
    p = np.stack([1 - np.array(positive), positive], axis=1)
    assert choose_threshold(p, labels) == pytest.approx(expected)


def test_more_than_two_classes_have_no_threshold() -> None:
    p, y, _ = classifier(3)
    assert choose_threshold(p, y) is None
    with pytest.raises(InputError, match="needs two classes"):
        decide(p, 0.3)


def test_paired_bootstrap_of_two_arms_sees_a_better_one() -> None:
    (p, y, groups), worse = classifier(2, 1000), np.full((1000, 2), 0.5)
    arms = [[metric_statistic("auroc", q, y, groups=groups) for _ in range(3)] for q in (p, worse)]
    found = paired_difference(arms[0], arms[1], groups=groups)
    assert found.lo is not None
    assert 0.35 < found.lo < found.estimate < found.hi < 0.45


@pytest.mark.parametrize(
    ("p", "y", "says"),
    [
        ([[0.5, 0.5], [0.9, 0.9]], [0, 1], "probabilities, row 1"),
        ([[0.5, 0.5], [np.nan, 0.9]], [0, 1], "probabilities, row 1"),
        ([[0.5, 0.5], [0.1, 0.9]], [0, -1], "labels, row 1: -1 is not in 0..1; leave unlabelled"),
        ([[0.5, 0.5]], [0, 1], r"expected \(n, k\) and \(n,\)"),
    ],
)
def test_bad_rows_are_named(p: list[list[float]], y: list[int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        scores(p, y)


def test_unknown_metric_lists_the_known() -> None:
    p, y, groups = classifier(2)
    with pytest.raises(InputError, match="expected one of accuracy, balanced_accuracy"):
        metric_statistic("auc", p, y, groups=groups)
