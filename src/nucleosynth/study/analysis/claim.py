"""The rule for a claim of help, and what a study lacks for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nucleosynth.evaluate.statistics.verdict import beats_all
from nucleosynth.study.analysis.comparisons import Record
from nucleosynth.study.analysis.predictions import Predictions
from nucleosynth.study.design.arms import RIVALS
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.schedule import fit_arms

FEWEST_GENERATORS, FEWEST_SEEDS = 5, 3
"""With fewer generators or classifier seeds, others might give another result: no claim of help is made."""

NEEDED = ("real", "augmented", "oversampled")
"""Arms without synthetic tiles: help is claimed only if the primary arm is better than all of these."""


def claim(
    study: StudyConfig, predictions: Predictions, comparisons: Sequence[Record]
) -> dict[str, Any] | None:
    """Decide whether the primary arm is above each of its rivals, in the primary metric and in AUROC.

    All of these intervals must lie above zero (intersection-union), so none needs a correction.

    Returns
    -------
    ``{"arm", "rivals", "metrics", "fraction", "holds", "weakest", "lacking"}``; ``rivals`` are those compared
    so far, ``lacking`` what a claim of help needs and the study does not have, in words. None before the
    primary arm is known or compared.
    """
    fraction = max(study.arms.fractions)
    arm = predictions.primary(fraction)
    of_arm = [c for c in comparisons if c["arm"] == arm and c["fraction"] == fraction]
    metrics = study.report.claimed
    needed = [c for c in of_arm if c["metric"] in metrics and c["baseline"] in RIVALS]
    if arm is None or not needed:
        return None
    rivals = list(dict.fromkeys(c["baseline"] for c in needed))
    return {
        "arm": arm,
        "fraction": fraction,
        "rivals": rivals,
        "metrics": metrics,
        **beats_all(needed),
        "lacking": _lacking(study, fraction, rivals),
    }


def _lacking(study: StudyConfig, fraction: float, compared: Sequence[str]) -> list[str]:
    """List what a claim of help needs beyond the intervals and the study does not have."""
    generators, seeds = study.generator.seeds, study.classifier.seeds
    asked = [arm.name for arm in fit_arms(study, Fit(fraction=fraction)) if arm.kind in RIVALS]
    same = ("oversampled",) if study.classifier.balance == "sampler" else ()  # as `real` is
    absent = [name for name in NEEDED if name not in (*asked, *same)]
    waiting = [name for name in asked if name not in compared]
    return [
        *([f"{FEWEST_GENERATORS} generators (here {generators})"] if generators < FEWEST_GENERATORS else ()),
        *([f"{FEWEST_SEEDS} classifier seeds (here {seeds})"] if seeds < FEWEST_SEEDS else ()),
        *(f"the arm {name}" for name in absent),
        *(f"the scores of {name}" for name in waiting),
    ]
