"""Comparisons of arms on the test patients: which pairs, with intervals, and what may be claimed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from nucleosynth.evaluate.statistics.bootstrap import MINIMUM_PATIENTS, paired_difference
from nucleosynth.evaluate.statistics.verdict import difference_record, holm
from nucleosynth.study.analysis.predictions import Predictions
from nucleosynth.study.design.arms import RIVALS
from nucleosynth.study.design.config import StudyConfig

Record = Mapping[str, Any]
FEWEST_OF_CLASS = 5
"""Fewest patients with tiles of a class: resamples of fewer do not show how such patients vary (intervals
of 2 of 12 covered 0.85 instead of 0.95), so no interval is given."""


def compare_arms(study: StudyConfig, predictions: Predictions) -> list[dict[str, Any]]:
    """Return paired differences of finished arms on the test patients of all folds.

    Every arm is compared with ``real``, and the primary arm with each of its rivals too. Patients, generators
    and classifier seeds are resampled together. Below 10 test patients, or where fewer than 5 of them have
    tiles of a class, there is no interval but the difference of each patient.

    Returns
    -------
    One per data fraction, pair and metric: ``fraction``, ``arm``, ``baseline``, ``metric``,
    ``difference``, ``interval``, ``p_value``, ``n_patients``, ``n_of_class`` (patients with tiles of the
    rarest class), ``n_seeds``, ``n_generators``, ``undefined``, ``per_patient``, ``verdict``;
    ``p_holm`` of the secondary ones: those in the primary metric that are not part of the claim.
    """
    found = []
    for fraction in study.arms.data_fractions:
        for arm, baseline in _pairs(predictions, fraction):
            pair = (predictions, arm), (predictions, baseline)
            found += [difference(*pair, metric, fraction, seed=study.seed) for metric in study.report.shown]
    largest = max(study.arms.fractions)
    primary = predictions.primary(largest)
    secondary = [
        one
        for one in found
        if one["metric"] == study.report.primary
        and (one["baseline"] == "real" and not (one["arm"] == primary and one["fraction"] == largest))
    ]
    adjusted = holm({_key(one): one["p_value"] for one in secondary})
    for one in found:
        one["p_holm"] = adjusted.get(_key(one)) if one in secondary else None
    return found


def _pairs(predictions: Predictions, fraction: float) -> Iterator[tuple[str, str]]:
    """Yield the pairs to compare: each arm with ``real``, and the primary arm with its rivals too."""
    finished, primary = predictions.arms(fraction), predictions.primary(fraction)
    names = [*finished, *({primary} - {None, *finished})]
    for arm in names:
        if arm is None or not predictions.finished(arm, fraction):
            continue
        for baseline in finished:
            wanted = baseline == "real" or (arm == primary and baseline in RIVALS)
            if wanted and arm != baseline:
                yield arm, baseline


def difference(
    treatment: tuple[Predictions, str],
    control: tuple[Predictions, str],
    metric: str,
    fraction: float,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the paired difference of two finished arms, each with its predictions, as in `compare_arms`."""
    (ours, arm), (theirs, baseline) = treatment, control
    of_class = min(ours.rarest_class_patients, theirs.rarest_class_patients)
    found = paired_difference(
        ours.crossed(arm, metric, fraction),
        theirs.crossed(baseline, metric, fraction),
        groups=ours.groups,
        seed=seed,
        minimum=MINIMUM_PATIENTS if of_class >= FEWEST_OF_CLASS else sys.maxsize,  # no interval
    )
    return {"fraction": fraction, **difference_record(arm, baseline, metric, found), "n_of_class": of_class}


def _key(comparison: Record) -> str:
    return f"{comparison['arm']} / {comparison['fraction']:g}"
