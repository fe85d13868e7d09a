"""Classification metrics from probabilities, each also as a statistic over drawn patients.

Everything is computed from sums over patients: a confusion matrix per patient, and for the AUROC how often a
positive tile of one patient has a higher score than a negative tile of another. A bootstrap then only weights
these sums.

Rules for missing classes. *Balanced accuracy*: mean recall of the classes that occur among the labels.
*Macro-F1*: mean over the classes that occur among labels or predictions. *Kappa*: undefined (nan) where
all labels and predictions are one class. *AUROC*: one class
against the rest, mean over the classes that have both positives and negatives; undefined where none has.
A mean over classes is undefined on a resample of several patients without a class that all patients together
have: it would be a mean over other classes than in the other resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.bootstrap import Counts, Statistic

Floats = NDArray[np.float64]


def accuracy(confusion: Floats) -> Floats:
    """Return the share of tiles on the diagonal, (..., k, k) confusions (rows = labels) to (...)."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def balanced_accuracy(confusion: Floats) -> Floats:
    """Return the mean recall over the classes that occur among the labels; (..., k, k) to (...)."""
    recall = _ratio(_diagonal(confusion), confusion.sum(-1))
    return _mean_of_defined(recall)


def macro_f1(confusion: Floats) -> Floats:
    """Return the mean F1 over the classes that occur among labels or predictions; (..., k, k) to (...)."""
    f1 = _ratio(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))
    return _mean_of_defined(f1)


def kappa(confusion: Floats) -> Floats:
    """Return the quadratic weighted kappa, (..., k, k) to (...).

    For two classes this is Cohen's kappa. Source: Cohen 1968.
    """
    k = confusion.shape[-1]
    grade = np.arange(k)
    weight = (grade[:, None] - grade) ** 2
    by_chance = confusion.sum(-1)[..., :, None] * confusion.sum(-2)[..., None, :]
    disagreement = (weight * confusion).sum((-2, -1)) * confusion.sum((-2, -1))
    return 1 - _ratio(disagreement, (weight * by_chance).sum((-2, -1)))


CONFUSION_METRICS: dict[str, Callable[[Floats], Floats]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "kappa": kappa,
}
METRICS = (*CONFUSION_METRICS, "auroc")
MEANS_OVER_CLASSES = ("balanced_accuracy", "macro_f1", "auroc")


def decide(probabilities: ArrayLike, threshold: float | Floats | None = None) -> NDArray[np.int64]:
    """Return the predicted classes.

    Parameters
    ----------
    probabilities : (n, k) float
    threshold : float, (n,) float or None
        For two classes: class 1 from this probability on (None = 0.5), one for all tiles or one per tile. For
        more classes the most probable class is predicted, and a threshold is refused.

    Returns
    -------
    (n,) int64
    """
    p = np.asarray(probabilities)
    if p.shape[1] == 2:
        return (p[:, 1] >= (0.5 if threshold is None else threshold)).astype(np.int64)
    if threshold is not None:
        raise InputError(f"threshold {threshold}: needs two classes, here are {p.shape[1]}; leave it out")
    return np.asarray(p.argmax(1), dtype=np.int64)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, *, classes: int) -> NDArray[np.int64]:
    """Count tiles by label (rows) and prediction (columns), (k, k) int64."""
    flat = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def scores(probabilities: ArrayLike, labels: ArrayLike, *, threshold: float | None = None) -> dict[str, Any]:
    """Return all metrics of one classifier on one set of tiles.

    Parameters
    ----------
    probabilities : (n, k) float
        Rows sum to one.
    labels : (n,) int
        In 0..k-1.
    threshold : float or None
        See :func:`decide`; chosen on validation by
        :func:`~nucleosynth.evaluate.classification.threshold.choose_threshold`.

    Returns
    -------
    dict
        The keys of :data:`METRICS` (float, or None where undefined), `confusion` (k x k lists, rows =
        labels), `n` and `threshold`.

    Raises
    ------
    InputError
        A row is not a probability or a label; the message names the first.
    """
    p, y = checked(probabilities, labels)
    everyone = np.zeros(len(y), dtype=np.int64)
    values = {name: metric_statistic(name, p, y, groups=everyone, threshold=threshold) for name in METRICS}
    measured = {name: float(statistic(np.ones((1, 1)))[0]) for name, statistic in values.items()}
    return {
        **{name: value if np.isfinite(value) else None for name, value in measured.items()},
        "confusion": confusion_matrix(y, decide(p, threshold), classes=p.shape[1]).tolist(),
        "n": len(y),
        "threshold": threshold,
    }


def metric_statistic(
    metric: str,
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike,
    threshold: float | Floats | None = None,
    folds: ArrayLike | None = None,
) -> Statistic:
    """Return a metric as a function of drawn patients, for the bootstrap.

    Parameters
    ----------
    metric : str
        One of :data:`METRICS`.
    probabilities, labels
        As in :func:`scores`.
    threshold : float, (n,) float or None
        See :func:`decide`.
    groups : (n,) str
        Patient of each tile.
    folds : (n,) int or None
        Fold of each tile, if the probabilities are from models of several folds: the AUROC then ranks a tile
        only among those of its own fold.

    Returns
    -------
    callable
        Maps draw counts (b, p), columns in the order of `numpy.unique(groups)`, to (b,) float64.

    Raises
    ------
    InputError
        The metric is unknown, and as :func:`scores`.
    """
    p, y = checked(probabilities, labels)
    patients, patient = np.unique(np.asarray(groups), return_inverse=True)
    if patient.shape != y.shape:
        raise InputError(
            f"groups has {patient.size} entries for {len(y)} tiles; expected one patient per tile"
        )
    if metric == "auroc":
        positives = [1] if p.shape[1] == 2 else range(p.shape[1])
        fold = np.zeros(len(y), np.int64) if folds is None else np.asarray(folds)
        parts = [fold == number for number in np.unique(fold)]
        area = _auroc_statistic(
            [[_wins(p[m, c], y[m] == c, patient[m], len(patients)) for m in parts] for c in positives]
        )
        return _of_all_classes(area, y, patient)
    if metric not in CONFUSION_METRICS:
        raise InputError(f"metric {metric!r}: unknown; expected one of {', '.join(METRICS)}")
    formula, k = CONFUSION_METRICS[metric], p.shape[1]
    flat = (patient * k + y) * k + decide(p, threshold)
    cells = (
        np.bincount(flat, minlength=len(patients) * k * k).reshape(len(patients), k * k).astype(np.float64)
    )

    def statistic(counts: Counts) -> Floats:
        return formula((counts @ cells).reshape(len(counts), k, k))

    return _of_all_classes(statistic, y, patient) if metric in MEANS_OVER_CLASSES else statistic


def checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Return probabilities as (n, k) float64 and labels as (n,) int64; refuse and name the first bad row."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2 or y.shape != p.shape[:1] or not len(y):
        raise InputError(
            f"probabilities {p.shape} and labels {y.shape}: expected (n, k) and (n,), k >= 2, n >= 1"
        )
    bad = ~np.isfinite(p).all(1) | (p < 0).any(1) | (np.abs(p.sum(1) - 1) > 1e-3)
    if bad.any():
        raise InputError(
            f"probabilities, row {int(bad.argmax())}: expected {p.shape[1]} values that sum to 1"
        )
    outside = (y < 0) | (y >= p.shape[1])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"labels, row {row}: {y[row]} is not in 0..{p.shape[1] - 1}; leave unlabelled tiles out"
        )
    return p, y.astype(np.int64)


def _of_all_classes(statistic: Statistic, y: NDArray[np.int64], patient: NDArray[np.intp]) -> Statistic:
    """Make a statistic undefined on resamples of several patients that lack a class."""
    labels, label = np.unique(y, return_inverse=True)
    tiles = np.zeros((patient.max() + 1, len(labels)))
    np.add.at(tiles, (patient, label), 1)

    def of_all(counts: Counts) -> Floats:
        lost = (counts.sum(1) > 1) & (counts @ tiles == 0).any(1)
        return np.where(lost, np.nan, statistic(counts))

    return of_all


def _auroc_statistic(by_class: Sequence[Sequence[tuple[Floats, Floats, Floats]]]) -> Statistic:
    """Return the share of correctly ranked pairs, over the folds of a class; mean over classes."""

    def statistic(counts: Counts) -> Floats:
        areas = []
        for folds in by_class:
            won = sum(((counts @ wins) * counts).sum(1) for wins, _, _ in folds)
            pairs = sum((counts @ positives) * (counts @ negatives) for _, positives, negatives in folds)
            areas.append(_ratio(np.asarray(won), np.asarray(pairs)))
        return _mean_of_defined(np.stack(areas, axis=-1))

    return statistic


def _wins(
    score: Floats, positive: NDArray[np.bool_], patient: NDArray[np.intp], size: int
) -> tuple[Floats, Floats, Floats]:
    """Count pairs with positives of patient i above negatives of j (ties half), and the tiles of each."""
    negatives_of = [np.sort(score[~positive & (patient == j)]) for j in range(size)]
    challengers, owner = score[positive], patient[positive]
    wins = np.empty((size, size))
    for j, negatives in enumerate(negatives_of):
        below = np.searchsorted(negatives, challengers, "left") + np.searchsorted(
            negatives, challengers, "right"
        )
        wins[:, j] = np.bincount(owner, weights=below / 2, minlength=size)
    positives = np.bincount(owner, minlength=size).astype(np.float64)
    return wins, positives, np.array([len(negatives) for negatives in negatives_of], dtype=np.float64)


def _diagonal(confusion: Floats) -> Floats:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(above: Floats, below: Floats) -> Floats:
    undefined = np.full(np.shape(below), np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=np.asarray(below) != 0))


def _mean_of_defined(values: Floats) -> Floats:
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(np.float64))
