"""Nuclei found compared with those annotated: sums of each patient, their bootstrap, comparison of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.bootstrap import Counts, Statistic, paired_difference
from nucleosynth.evaluate.statistics.verdict import difference_record, with_holm
from nucleosynth.nuclei.instances import AreaCounts, number_nuclei, overlaps

NucleiMetric = Literal["pq", "aji", "f1", "iou"]
COMPARED: tuple[NucleiMetric, ...] = ("pq", "aji", "f1")
BASELINE = "real"
Sums = Mapping[str, Mapping[str, float]]
"""Sums of each patient from which the scores are computed; see `nuclei_sums`."""

_NUCLEI = {"predicted": 1, "true": 1}
_RATIOS: dict[NucleiMetric, tuple[dict[str, int], dict[str, int]]] = {
    "pq": ({"matched_iou": 2}, _NUCLEI),
    "aji": ({"shared": 1}, {"joined": 1}),
    "f1": ({"matched": 2}, _NUCLEI),
    "iou": ({"both": 1}, {"either": 1}),
}


def nuclei_sums(found: NDArray[Any], true: NDArray[Any], patients: ArrayLike) -> dict[str, dict[str, float]]:
    """Return the sums over the tiles of each patient from which the scores are computed.

    Parameters
    ----------
    found, true : (n, h, w) integer
        Label images, 0 = background.
    patients : (n,) str
        Patient of each tile.

    Returns
    -------
    dict
        By patient, sorted: nuclei ``predicted``, ``true`` and ``matched`` (IoU above 0.5), ``matched_iou``,
        px ``shared`` and ``joined`` (numerator and denominator of the aggregated Jaccard index), and px of
        nuclei in ``both`` images and in ``either``.
    """
    owners = np.asarray(patients, dtype=np.str_)
    return {str(one): _sums(found[owners == one], true[owners == one]) for one in np.unique(owners)}


def _sums(found: NDArray[Any], true: NDArray[Any]) -> dict[str, float]:
    here, asked = found != 0, true != 0
    nuclei = AreaCounts.of(overlaps(number_nuclei(found, binary=False), number_nuclei(true, binary=False)))
    return {
        "predicted": nuclei.predicted,
        "true": nuclei.true,
        "matched": int(nuclei.hits[0]),
        "matched_iou": nuclei.matched_iou,
        "shared": nuclei.shared,
        "joined": nuclei.joined,
        "both": int(np.count_nonzero(here & asked)),
        "either": int(np.count_nonzero(here | asked)),
    }


def nuclei_statistic(metric: NucleiMetric, sums: Sums) -> Statistic:
    """Return a score as a function of drawn patients, for the bootstrap.

    With every patient drawn once it equals that of `mask_agreement` over all tiles: pooled, and 1 if neither
    image has a nucleus.

    Returns
    -------
    callable
        Maps draw counts (b, p), columns in the order of the sorted patients, to (b,) float64.

    Raises
    ------
    InputError
        The metric is unknown.
    """
    if metric not in _RATIOS:
        raise InputError(f"metric {metric!r}: unknown; expected one of {', '.join(_RATIOS)}")
    above, below = (
        np.array(
            [sum(factor * sums[one][key] for key, factor in part.items()) for one in sorted(sums)], float
        )
        for part in _RATIOS[metric]
    )

    def statistic(counts: Counts) -> NDArray[np.float64]:
        drawn = counts @ below
        return np.asarray(np.divide(counts @ above, drawn, out=np.ones_like(drawn), where=drawn != 0))

    return statistic


def nuclei_scores(sums: Sums) -> dict[str, float]:
    """Return every metric over all patients."""
    everyone = np.ones((1, len(sums)))
    return {metric: float(nuclei_statistic(metric, sums)(everyone)[0]) for metric in _RATIOS}


def compare_segmenters(
    runs: Mapping[str, Sequence[Sequence[Sums]]],
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return paired differences of every arm from ``real`` on the same patients.

    Patients, generators and seeds are resampled together. Below 10 patients there is no interval but the
    difference of each patient.

    Parameters
    ----------
    runs
        By arm, the sums of each run, [generator][seed]; an arm without synthetic tiles has one generator.
        If patients are tested in several folds, the sums of a run are those of all folds together.
    seed
        Decides the resamples.

    Returns
    -------
    list of dict
        ``{"arm", "baseline", "metric", "difference", "interval", "p_value", "n_patients", "n_seeds",
        "n_generators", "undefined", "per_patient", "verdict", "p_holm"}``, the last with Holm's correction
        for all comparisons.

    Raises
    ------
    InputError
        Runs were scored on different patients, or an arm has no run.
    """
    patients = _patients(runs)
    comparisons = []
    for arm in runs:
        if arm == BASELINE:
            continue
        for metric in COMPARED:
            found = paired_difference(
                _statistics(metric, runs[arm]),
                _statistics(metric, runs.get(BASELINE, ())),
                groups=patients,
                seed=seed,
            )
            comparisons.append(difference_record(arm, BASELINE, metric, found))
    return with_holm(comparisons)


def _statistics(metric: NucleiMetric, crossed: Sequence[Sequence[Sums]]) -> list[list[Statistic]]:
    return [[nuclei_statistic(metric, sums) for sums in of_generator] for of_generator in crossed]


def _patients(runs: Mapping[str, Sequence[Sequence[Sums]]]) -> list[str]:
    scored = [(arm, set(sums)) for arm, crossed in runs.items() for seeds in crossed for sums in seeds]
    everyone = set().union(*(patients for _, patients in scored))
    for arm, patients in scored:
        if patients != everyone:
            missing = min(everyone - patients)
            raise InputError(f"arm {arm}: a run was not scored on patient {missing}, as another was")
    return sorted(everyone)
