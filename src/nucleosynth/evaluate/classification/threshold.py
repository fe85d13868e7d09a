"""The decision threshold of a two-class probability: chosen on validation, in the same way for every arm."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike

from nucleosynth.evaluate.classification.metrics import checked

log = logging.getLogger(__name__)


def choose_threshold(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Choose the threshold of class 1 with the highest balanced accuracy on the given (validation) tiles.

    Between two neighbouring scores all thresholds are equivalent; the candidate is 0.5 if it lies between
    them, else their midpoint. Among equally good candidates the one nearest to 0.5 is chosen.

    Parameters
    ----------
    probabilities : (n, k) float
        Rows sum to one.
    labels : (n,) int
        In 0..k-1.

    Returns
    -------
    float or None
        In [0, 1], for `metrics.decide`. None for more than two classes (the most probable is predicted). 0.5
        if validation lacks a class, with a warning in the log.

    Raises
    ------
    InputError
        A row is not a probability or a label; the message names the first.
    """
    p, y = checked(probabilities, labels)
    if p.shape[1] > 2:
        return None
    n_negative, n_positive = np.bincount(y, minlength=2).tolist()
    if not n_negative or not n_positive:
        log.warning("validation holds one class only: the threshold stays at 0.5")
        return 0.5
    scores, position = np.unique(p[:, 1], return_inverse=True)
    # Cut i predicts positive for the scores from i on; whole numbers, so that ties are exact.
    missed = np.append(0, np.bincount(position[y == 1], minlength=len(scores)).cumsum())
    refused = np.append(0, np.bincount(position[y == 0], minlength=len(scores)).cumsum())
    quality = (n_positive - missed) * n_negative + refused * n_positive
    below, above = np.append(0.0, scores), np.append(scores, 1.0)
    cut = np.where((below < 0.5) & (above >= 0.5), 0.5, (below + above) / 2)
    cut = np.where(cut > below, cut, above)  # midpoints of neighbouring floats round down to the lower one
    usable = (cut > below) | (np.arange(len(cut)) == 0)  # with a score of 1 no threshold rejects all
    best = np.flatnonzero(usable & (quality == quality[usable].max()))
    return float(cut[best[np.abs(cut[best] - 0.5).argmin()]])
