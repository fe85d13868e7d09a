"""Arms against each other on the test patients: which pairs, with intervals, and what may be claimed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nucleosynth.evaluate.claims import beats_all, difference_record, holm
from nucleosynth.evaluate.uncertainty import paired_difference
from nucleosynth.study.arms import RIVALS
from nucleosynth.study.outcomes import Outcomes
from nucleosynth.study.protocol import StudyConfig

Record = Mapping[str, Any]
FEWEST_GENERATORS = 5
"""Of fewer generators, another one might say otherwise: no claim of help rests on them."""


def compare_arms(study: StudyConfig, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Paired differences of finished arms on the test patients of all folds.

    Every arm is compared with ``real`` and, the primary arm, with each of its rivals. Patients, generators
    and classifier seeds are resampled together. Below 10 test patients there is no interval but the
    difference of each patient.

    Returns
    -------
    One per share of the patients, pair and metric: ``share``, ``arm``, ``baseline``, ``metric``,
    ``difference``, ``interval``, ``p_value``, ``n_patients``, ``n_seeds``, ``n_generators``, ``per_patient``,
    ``verdict``; ``p_holm`` of the secondary ones: those in the primary metric that are not of the claim.
    """
    found = []
    for share in study.arms.shares:
        for arm, baseline in _pairs(outcomes, share):
            found += [_compare(study, outcomes, arm, baseline, m, share) for m in study.report.shown]
    largest = max(study.arms.fractions)
    primary = outcomes.primary(largest)
    secondary = [
        one
        for one in found
        if one["metric"] == study.report.primary
        and (one["baseline"] == "real" and not (one["arm"] == primary and one["share"] == largest))
    ]
    adjusted = holm({_key(one): one["p_value"] for one in secondary})
    for one in found:
        one["p_holm"] = adjusted.get(_key(one)) if one in secondary else None
    return found


def claim(study: StudyConfig, outcomes: Outcomes, comparisons: Sequence[Record]) -> dict[str, Any] | None:
    """Say whether the primary arm is above each of its rivals, in the primary metric and in AUROC.

    Every one of these intervals must lie above zero (intersection-union), so none needs a correction.

    Returns
    -------
    ``{"arm", "rivals", "metrics", "share", "holds", "weakest", "generators", "enough"}``; ``enough`` says
    whether the generators are as many as a claim needs. None before the primary arm is known or compared.
    """
    share = max(study.arms.fractions)
    arm = outcomes.primary(share)
    of_arm = [c for c in comparisons if c["arm"] == arm and c["share"] == share]
    metrics = study.report.claimed
    needed = [c for c in of_arm if c["metric"] in metrics and c["baseline"] in RIVALS]
    if arm is None or not needed:
        return None
    rivals = list(dict.fromkeys(c["baseline"] for c in needed))
    generators = study.generator.seeds
    return {
        "arm": arm,
        "share": share,
        "rivals": rivals,
        "metrics": metrics,
        **beats_all(needed),
        "generators": generators,
        "enough": generators >= FEWEST_GENERATORS,
    }


def _pairs(outcomes: Outcomes, share: float) -> Iterator[tuple[str, str]]:
    """Yield what is compared with what: each arm with ``real``, the primary arm with its rivals too."""
    finished, primary = outcomes.arms(share), outcomes.primary(share)
    names = [*finished, *({primary} - {None, *finished})]
    for arm in names:
        if arm is None or not outcomes.finished(arm, share):
            continue
        for baseline in finished:
            wanted = baseline == "real" or (arm == primary and baseline in RIVALS)
            if wanted and arm != baseline:
                yield arm, baseline


def _compare(
    study: StudyConfig, outcomes: Outcomes, arm: str, baseline: str, metric: str, share: float
) -> dict[str, Any]:
    found = paired_difference(
        outcomes.crossed(arm, metric, share),
        outcomes.crossed(baseline, metric, share),
        groups=outcomes.groups,
        seed=study.seed,
    )
    return {"share": share, **difference_record(arm, baseline, metric, found)}


def _key(comparison: Record) -> str:
    return f"{comparison['arm']} / {comparison['share']:g}"
