"""Patient-level scores: one prediction per patient from the tiles of a patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import checked, metric_statistic

Floats = NDArray[np.float64]


def patient_scores(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    threshold: float | Floats | None,
    folds: ArrayLike | None = None,
) -> dict[str, Any]:
    """Classify patients by the mean probability of their tiles, and score the result.

    A patient's class is the most frequent label among its tiles; if two are equally frequent the patient is
    left out. The score is coarse where a patient has tiles of several classes, as is usual if tiles are
    single cells or small fields: a patient with 51 of 100 atypical tiles then counts as atypical, and a good
    classifier of tiles may fail to separate such patients. There, read the metrics of tiles.

    Parameters
    ----------
    probabilities : (n, k) float
        Rows sum to one.
    labels : (n,) int
        In 0..k-1.
    groups : (n,) str
        Patient of each tile.
    threshold : float, (n,) float or None
        See `metrics.decide`, applied to a patient's mean probability; if there is one per tile, the mean
        over the patient's tiles is used.
    folds : (n,) int, optional
        Fold of the classifier that scored a tile: only patients of one fold are ranked together.

    Returns
    -------
    dict
        `n` patients scored and `left_out` (int); `balanced_accuracy` and `auroc` over patients, each patient
        counted once (float; None where undefined: no patient left, or for `auroc` one class only).

    Raises
    ------
    InputError
        A row is not a probability or a label (the message names the first), or groups do not fit the tiles.
    """
    p, y = checked(probabilities, labels)
    patients, first, patient = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    if patient.shape != y.shape:
        raise InputError(
            f"groups has {patient.size} entries for {len(y)} tiles; expected one patient per tile"
        )
    k = p.shape[1]
    tiles = np.bincount(patient * k + y, minlength=len(patients) * k).reshape(-1, k)
    clear = (tiles == tiles.max(1, keepdims=True)).sum(1) == 1
    mean = np.stack([_mean_by(patient, column) for column in p.T], axis=1)[clear]
    if isinstance(threshold, np.ndarray):
        threshold = _mean_by(patient, threshold)[clear]
    fold = None if folds is None else np.asarray(folds)[first][clear]
    return {
        "n": int(clear.sum()),
        **_scores(mean, tiles.argmax(1)[clear], threshold, fold),
        "left_out": int((~clear).sum()),
    }


def _mean_by(patient: NDArray[np.intp], values: Floats) -> Floats:
    return np.bincount(patient, weights=values) / np.bincount(patient)


def _scores(
    p: Floats, y: NDArray[np.int64], threshold: float | Floats | None, folds: NDArray[np.int64] | None
) -> dict[str, float | None]:
    found: dict[str, float | None] = {"balanced_accuracy": None, "auroc": None}
    if not len(y):
        return found
    for metric in found:
        statistic = metric_statistic(metric, p, y, groups=np.zeros(len(y)), threshold=threshold, folds=folds)
        value = float(statistic(np.ones((1, 1)))[0])
        found[metric] = value if np.isfinite(value) else None
    return found
