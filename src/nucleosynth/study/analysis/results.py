"""What the classifiers reached: every run, and each arm as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.evaluate.classification.calibration import calibration
from nucleosynth.evaluate.classification.metrics import METRICS
from nucleosynth.evaluate.classification.patient_level import patient_votes
from nucleosynth.files import read_json
from nucleosynth.study.analysis.predictions import Outcomes
from nucleosynth.study.design.arms import CHOSEN
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.schedule import arm_jobs, outer_fits
from nucleosynth.study.stages.primary_arm import chosen_arm, read_lock

Result = Mapping[str, Any]


def read_results(study: StudyConfig, out: Path, folds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return every run that was scored on the test patients, and the folders of those that were not."""
    results, missing, locked = [], [], read_lock(out)
    for fit in outer_fits(study, folds):
        for job in arm_jobs(study, fit, chosen_arm(locked, fit)):
            folder = out / job["folder"]
            if (folder / "test.json").exists():
                results.append(_result(job, fit, folder))
            else:
                missing.append(job["folder"])
    return results, missing


def _result(job: Mapping[str, Any], fit: Fit, folder: Path) -> dict[str, Any]:
    test, trained = read_json(folder / "test.json"), read_json(folder / "result.json")
    return {
        "fold": fit.fold,
        "share": fit.share,
        "arm": job["arm"]["name"],
        "generator": job["generator"],
        "seed": job["seed"],
        **trained,
        "metrics": {metric: test[metric] for metric in METRICS},
        "confusion": test["confusion"],
    }


def summarise_arms(results: Sequence[Result], outcomes: Outcomes) -> list[dict[str, Any]]:
    """Each arm at each share of the patients: metrics over its runs, confusion, calibration, votes.

    Returns
    -------
    Per share and arm: ``metrics`` (mean, least, largest and each run), ``confusion`` summed over runs,
    ``per_class`` recall and precision, and of finished arms ``calibration`` and ``votes``.
    """
    arms = []
    for share, name in _named(results, outcomes):
        of_arm = [
            r for r in results if r["share"] == share and r["arm"] == outcomes.arm(name, r["fold"], share)
        ]
        confusion = np.sum([result["confusion"] for result in of_arm], axis=0)
        arms.append(
            {
                "share": share,
                "arm": name,
                "runs": len(of_arm),
                "metrics": {m: spread([result["metrics"][m] for result in of_arm]) for m in METRICS},
                "confusion": confusion.tolist(),
                "per_class": _per_class(confusion),
                **(_probabilities(outcomes, name, share) if outcomes.finished(name, share) else {}),
            }
        )
    return arms


def _named(results: Sequence[Result], outcomes: Outcomes) -> list[tuple[float, str]]:
    """Return shares and arms of every fold, in order; ``chosen`` last where folds chose different ones."""
    every = dict.fromkeys((result["share"], result["arm"]) for result in results)
    named = [(share, arm) for share, arm in every if outcomes.in_every_fold(arm, share)]
    shares = dict.fromkeys(share for share, _ in every)
    return [*named, *((share, CHOSEN) for share in shares if outcomes.primary(share) == CHOSEN)]


def _per_class(confusion: Any) -> list[dict[str, float | None]]:
    """Recall, precision and F1 of each class, over all runs of an arm."""
    hits, labels, predicted = np.diagonal(confusion), confusion.sum(1), confusion.sum(0)

    def ratio(above: float, below: float) -> float | None:
        return float(above / below) if below else None

    return [
        {
            "recall": ratio(hits[c], labels[c]),
            "precision": ratio(hits[c], predicted[c]),
            "f1": ratio(2 * hits[c], labels[c] + predicted[c]),
        }
        for c in range(len(confusion))
    ]


def _probabilities(outcomes: Outcomes, arm: str, share: float) -> dict[str, Any]:
    """How far probabilities can be trusted, and the vote of each patient's tiles; over all runs."""
    runs = [run for seeds in outcomes.probabilities(arm, share) for run in seeds]
    single = [calibration(found, outcomes.labels) for found, _ in runs]
    together = np.concatenate([found for found, _ in runs])
    reliability = calibration(together, np.tile(outcomes.labels, len(runs)))["reliability"]
    votes = [
        patient_votes(found, outcomes.labels, outcomes.groups, threshold=cuts, folds=outcomes.fold_of)
        for found, cuts in runs
    ]
    return {
        "calibration": {
            **{name: spread([one[name] for one in single]) for name in ("ece", "brier")},
            "reliability": reliability,
        },
        "votes": {
            **{name: spread([one[name] for one in votes]) for name in ("balanced_accuracy", "auroc")},
            "n": votes[0]["n"],
            "left_out": votes[0]["left_out"],
        },
    }


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, least and largest of the values that are defined, and each of them."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "per_seed": list(values), "min": None, "max": None}
    return {"mean": float(np.mean(known)), "per_seed": list(values), "min": min(known), "max": max(known)}
