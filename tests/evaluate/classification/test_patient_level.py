"""Patient-level scores: by hand, against scikit-learn, ties and missing classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import scores
from nucleosynth.evaluate.classification.patient_level import patient_scores


def two(positive: np.ndarray | list[float]) -> np.ndarray:
    return np.stack([1 - np.asarray(positive), positive], axis=1)


def test_by_hand() -> None:
    p = two([0.2, 0.4, 0.9, 0.9, 0.8, 0.6, 0.5, 0.1])
    labels, groups = [0, 0, 1, 1, 1, 1, 0, 1], list("aaabbcdd")
    # a: 0 by two of three, mean 0.5; b: 1, 0.85; c: 1, 0.6; d: one of each, left out
    found = patient_scores(p, labels, groups, threshold=0.55)
    assert found == {"n": 3, "balanced_accuracy": 1.0, "auroc": 1.0, "left_out": 1}
    assert patient_scores(p, labels, groups, threshold=0.7)["balanced_accuracy"] == pytest.approx(0.75)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("k", [2, 3])
def test_agrees_with_scikit_learn(k: int) -> None:
    draw = np.random.default_rng(k)
    patient = np.arange(30).repeat(7)
    own = draw.integers(k, size=30)
    labels = np.where(draw.random(210) < 0.8, own[patient], draw.integers(k, size=210))
    logits = draw.normal(size=(210, k)) + 0.5 * np.eye(k)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    counts = np.stack([np.bincount(labels[patient == i], minlength=k) for i in range(30)])
    clear = np.sort(counts, 1)[:, -1] > np.sort(counts, 1)[:, -2]
    mean = np.stack([p[patient == i].mean(0) for i in range(30)])[clear]
    truth = counts.argmax(1)[clear]
    found = patient_scores(p, labels, patient, threshold=None)
    assert found["n"] == clear.sum() == 30 - found["left_out"]
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, mean.argmax(1)))
    area = sk.roc_auc_score(truth, mean[:, 1]) if k == 2 else sk.roc_auc_score(truth, mean, multi_class="ovr")
    assert found["auroc"] == pytest.approx(area)


def test_one_tile_per_patient_is_the_score_of_tiles() -> None:
    draw = np.random.default_rng(0)
    p, labels = two(draw.random(50)), draw.integers(2, size=50)
    found, tiles = patient_scores(p, labels, np.arange(50), threshold=0.4), scores(p, labels, threshold=0.4)
    assert {name: found[name] for name in ("n", "auroc", "balanced_accuracy")} == pytest.approx(
        {name: tiles[name] for name in ("n", "auroc", "balanced_accuracy")}
    )


def test_each_fold_keeps_its_own_threshold() -> None:
    p, labels, groups = two([0.3, 0.3, 0.7, 0.7]), [0, 1, 0, 1], list("abcd")
    cuts = np.array([0.4, 0.2, 0.8, 0.6])
    assert patient_scores(p, labels, groups, threshold=cuts)["balanced_accuracy"] == 1.0
    assert patient_scores(p, labels, groups, threshold=0.5)["balanced_accuracy"] == 0.5


def test_patients_of_other_folds_are_not_ranked_against_each_other() -> None:
    p, labels, groups = two([0.1, 0.2, 0.8, 0.9, 0.9]), [0, 1, 0, 1, 1], list("abcdd")
    assert patient_scores(p, labels, groups, threshold=0.5)["auroc"] == 0.75
    assert patient_scores(p, labels, groups, threshold=0.5, folds=[0, 0, 1, 1, 1])["auroc"] == 1.0


def test_missing_classes_and_no_patient() -> None:
    one = patient_scores(two([0.1, 0.9]), [0, 0], ["a", "b"], threshold=0.5)
    assert one == {"n": 2, "balanced_accuracy": 0.5, "auroc": None, "left_out": 0}
    empty = patient_scores(two([0.1, 0.9]), [0, 1], ["a", "a"], threshold=0.5)
    assert empty == {"n": 0, "balanced_accuracy": None, "auroc": None, "left_out": 1}


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"labels, row 1: 3 is not in 0\.\.1"):
        patient_scores(two([0.1, 0.9]), [0, 3], ["a", "b"], threshold=None)
    with pytest.raises(InputError, match="groups has 1 entries for 2 tiles"):
        patient_scores(two([0.1, 0.9]), [0, 1], ["a"], threshold=None)
    with pytest.raises(InputError, match="needs two classes"):
        patient_scores(np.full((1, 3), 1 / 3), [0], ["a"], threshold=0.5)
