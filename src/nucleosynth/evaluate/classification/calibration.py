"""Calibration of probabilities: calibration error, Brier score, reliability curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import checked

Floats = NDArray[np.float64]


def calibration(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 10) -> dict[str, Any]:
    """Compare predicted probabilities with observed frequencies.

    For two classes this uses the probability of class 1 and how often class 1 is right; for more classes the
    probability of the predicted class and how often the prediction is right.

    Parameters
    ----------
    probabilities : (n, k) float
        Rows sum to one.
    labels : (n,) int
        In 0..k-1.
    bins : int
        At least 1. Bins hold equally many tiles. Equal probabilities share a bin, so ties can make bins
        unequal and fewer.

    Returns
    -------
    dict
        `ece`: mean of ``|predicted - observed|`` over bins, weighted by their tiles, in [0, 1].
        `brier`: squared distance of the probabilities to the truth, mean over tiles. For two classes that of
        class 1 alone, in [0, 1]; for more classes the sum over classes, in [0, 2].
        `reliability`: of each bin, in rising order, ``{"predicted", "observed", "n"}``: mean probability,
        observed frequency, number of tiles.

    Raises
    ------
    InputError
        A row is not a probability or a label (the message names the first), or fewer than one bin.

    Notes
    -----
    Even perfect probabilities have an error above zero, which is larger if a bin has fewer tiles: compare
    arms on the same tiles and bins, and read no value alone.

    Sources: Guo et al. 2017, "On calibration of modern neural networks" (`ece`, of the predicted class);
    Nixon et al. 2019, "Measuring calibration in deep learning" (bins of equal mass); Brier 1950.
    """
    p, y = checked(probabilities, labels)
    if bins < 1:
        raise InputError(f"bins {bins}: expected at least 1")
    if p.shape[1] == 2:
        said, true = p[:, 1], y == 1
    else:
        said, true = p.max(1), p.argmax(1) == y
    reliability = _reliability(said, true, bins)
    return {
        "ece": sum(abs(one["predicted"] - one["observed"]) * one["n"] for one in reliability) / len(y),
        "brier": _brier(p, y),
        "reliability": reliability,
    }


def _reliability(said: Floats, true: NDArray[np.bool_], bins: int) -> list[dict[str, Any]]:
    _, place, repeats = np.unique(said, return_inverse=True, return_counts=True)
    last = repeats.cumsum()
    middle = last - repeats / 2  # the rank of tied tiles
    of_tile = np.floor(bins * middle / len(said)).astype(np.int64)[place]
    found = [of_tile == number for number in np.unique(of_tile)]
    return [
        {"predicted": float(said[own].mean()), "observed": float(true[own].mean()), "n": int(own.sum())}
        for own in found
    ]


def _brier(p: Floats, y: NDArray[np.int64]) -> float:
    squared = float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean())
    return squared / 2 if p.shape[1] == 2 else squared
