"""How sure a difference is: bootstrap over patients, jointly over training seeds, and the verdict in words.

Tiles of one patient resemble each other, so patients are drawn, never tiles. A statistic therefore takes how
often each patient was drawn, which lets all resamples be computed at once.

Source: Davison & Hinkley 1997, section 3.8 (resampling whole clusters); percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.seeds import rng

Counts = NDArray[np.float64]
Statistic = Callable[[Counts], NDArray[np.float64]]
"""Maps draw counts (b, p), columns as `numpy.unique(groups)`, to (b,) values, nan where undefined."""

MINIMUM_PATIENTS = 10
"""Below it a percentile interval over patients covers far less than it says."""

LOWER_IS_BETTER = frozenset({"kid", "fid", "loss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its interval over patients; `dataclasses.asdict` of it is plain JSON.

    Attributes
    ----------
    estimate : float or None
        On all patients and seeds; None where the statistic is undefined.
    lo, hi : float or None
        Bounds of the interval; None with too few patients or where no resample is defined.
    n_patients, n_seeds : int
        What was resampled. With one seed the interval knows nothing of how training varies.
    undefined : float
        Share of resamples on which the statistic was undefined; they are left out.
    per_patient : mapping of str to float or None
        The statistic of each patient alone, given instead of an interval when patients are too few.
    """

    estimate: float | None
    lo: float | None
    hi: float | None
    n_patients: int
    n_seeds: int = 1
    undefined: float = 0.0
    per_patient: Mapping[str, float | None] = field(default_factory=dict)


def cluster_bootstrap(
    statistic: Statistic,
    groups: ArrayLike,
    *,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    minimum: int = MINIMUM_PATIENTS,
) -> Interval:
    """Percentile interval of a statistic over patients.

    Parameters
    ----------
    statistic : callable
        Maps draw counts (b, p) to (b,), see :data:`Statistic`.
    groups : (tiles,) str
        Patient of each tile.
    n : int
        Resamples.
    seed : int
        Same seed, same interval.
    level : float
        Coverage in (0, 1).
    minimum : int
        With fewer patients there is no interval but the value of each patient.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        When there is no tile.
    """
    patients = _patients(groups)
    if len(patients) < minimum:
        return _without_interval(statistic, patients, n_seeds=1)
    values = statistic(draw_counts(len(patients), n=n, seed=seed))
    return _summary(_estimate(statistic, len(patients)), values, len(patients), n_seeds=1, level=level)


def paired_difference(
    treatment: Sequence[Statistic],
    control: Sequence[Statistic],
    *,
    groups: ArrayLike,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    minimum: int = MINIMUM_PATIENTS,
) -> Interval:
    """Interval of `treatment - control`, both judged on the same tiles.

    Each resample draws patients, the same for both arms, and training seeds: the seed's index for both arms
    where they have equally many (they share data order and initial weights), else for each on its own. An
    arm's value is the mean over its drawn seeds. Drawing from s seeds shows (s-1)/s of their variance.

    Parameters
    ----------
    treatment, control : sequence of callables
        One statistic per training seed, see :data:`Statistic`.
    groups : (tiles,) str
        Patient of each tile, the same tiles for both arms.
    n, seed, level, minimum
        As in :func:`cluster_bootstrap`.

    Returns
    -------
    Interval
        `estimate` is the difference of the means over seeds.

    Raises
    ------
    InputError
        When there is no tile, or an arm has no seed.
    """
    if not treatment or not control:
        raise InputError("paired_difference: an arm has no seed; expected one statistic per trained seed")
    patients = _patients(groups)
    n_seeds = min(len(treatment), len(control))

    def mean_difference(counts: Counts) -> NDArray[np.float64]:
        arms = [np.mean([run(counts) for run in arm], axis=0) for arm in (treatment, control)]
        return np.asarray(arms[0] - arms[1], dtype=np.float64)

    if len(patients) < minimum:
        return _without_interval(mean_difference, patients, n_seeds=n_seeds)
    counts = draw_counts(len(patients), n=n, seed=seed)
    drawn = draw_counts(len(treatment), n=n, seed=seed, stream="bootstrap-seeds")
    if len(control) == len(treatment):
        drawn_control = drawn
    else:
        drawn_control = draw_counts(len(control), n=n, seed=seed, stream="bootstrap-seeds-control")
    values = _mean_over_seeds(treatment, counts, drawn) - _mean_over_seeds(control, counts, drawn_control)
    estimate = _estimate(mean_difference, len(patients))
    return _summary(estimate, values, len(patients), n_seeds=n_seeds, level=level)


def draw_counts(size: int, *, n: int, seed: int, stream: str = "bootstrap") -> Counts:
    """How often each of `size` units is drawn in each of `n` resamples of the same size.

    Returns
    -------
    (n, size) float64
        Whole numbers; each row sums to `size`.
    """
    drawn = rng(seed, stream).integers(size, size=(n, size))
    flat = (drawn + size * np.arange(n)[:, None]).ravel()
    return np.bincount(flat, minlength=n * size).reshape(n, size).astype(np.float64)


def verdict(lo: float | None, hi: float | None, metric: str) -> str:
    """Say in words what an interval of a difference shows.

    Parameters
    ----------
    lo, hi : float or None
        Bounds of `treatment - control`.
    metric : str
        Its name decides which direction is good: lower for `kid`, `fid` and `loss`, higher for all others.

    Returns
    -------
    str
        "helps", "harms", "no difference shown: ..." or "too few patients for an interval claim".
    """
    if lo is None or hi is None or not np.isfinite([lo, hi]).all():
        return "too few patients for an interval claim"
    if lo <= 0 <= hi:
        return f"no difference shown: the interval from {_signed(lo)} to {_signed(hi)} includes zero"
    return "helps" if (lo > 0) != (metric in LOWER_IS_BETTER) else "harms"


def _signed(value: float) -> str:
    for digits in range(2, 6):
        text = f"{value:+.{digits}f}"
        if value == 0 or float(text) != 0:  # a bound that is not zero must not read as zero
            break
    return text if float(text) != 0 else "0"


def _patients(groups: ArrayLike) -> list[str]:
    patients = [str(patient) for patient in np.unique(np.asarray(groups))]
    if not patients:
        raise InputError("bootstrap: no tiles; expected the patient of each tile, at least one")
    return patients


def _estimate(statistic: Statistic, size: int) -> float:
    return float(statistic(np.ones((1, size)))[0])


def _mean_over_seeds(runs: Sequence[Statistic], counts: Counts, drawn: Counts) -> NDArray[np.float64]:
    values = np.stack([run(counts) for run in runs], axis=1)  # (n, seeds)
    return np.asarray((values * drawn).sum(axis=1) / drawn.sum(axis=1), dtype=np.float64)


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _without_interval(statistic: Statistic, patients: Sequence[str], *, n_seeds: int) -> Interval:
    alone = statistic(np.eye(len(patients)))
    return Interval(
        estimate=_defined(_estimate(statistic, len(patients))),
        lo=None,
        hi=None,
        n_patients=len(patients),
        n_seeds=n_seeds,
        per_patient={patient: _defined(value) for patient, value in zip(patients, alone, strict=True)},
    )


def _summary(
    estimate: float, values: NDArray[np.float64], size: int, *, n_seeds: int, level: float
) -> Interval:
    defined = values[np.isfinite(values)]
    lo = hi = None
    if len(defined):
        lo, hi = (float(bound) for bound in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(
        estimate=_defined(estimate),
        lo=lo,
        hi=hi,
        n_patients=size,
        n_seeds=n_seeds,
        undefined=1 - len(defined) / len(values),
    )
