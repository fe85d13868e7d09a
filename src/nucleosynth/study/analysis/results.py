"""The scores of the classifiers: of every run, and of each arm as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.evaluate.classification.calibration import calibration
from nucleosynth.evaluate.classification.metrics import METRICS
from nucleosynth.evaluate.classification.patient_level import patient_scores
from nucleosynth.files import read_json
from nucleosynth.study.analysis.predictions import Predictions
from nucleosynth.study.design.arms import CHOSEN
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.design.schedule import arm_jobs, outer_fits
from nucleosynth.study.stages.primary_arm import chosen_arm, read_lock

Result = Mapping[str, Any]


def read_results(study: StudyConfig, out: Path, folds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return every run that was scored on the test patients, and the folders of those that were not."""
    results, missing, locked = [], [], read_lock(out)
    for fit in outer_fits(study, folds):
        for job in arm_jobs(study, fit, chosen_arm(locked, fit)):
            folder = out / job.folder
            if (folder / "test.json").exists():
                results.append(_result(job, fit, folder))
            else:
                missing.append(job.folder)
    return results, missing


def _result(job: Job, fit: Fit, folder: Path) -> dict[str, Any]:
    test, trained = read_json(folder / "test.json"), read_json(folder / "result.json")
    return {
        "fold": fit.fold,
        "fraction": fit.fraction,
        "arm": job.name,
        "generator": job.generator,
        "seed": job.seed,
        **trained,
        "metrics": {metric: test[metric] for metric in METRICS},
        "confusion": test["confusion"],
    }


def summarise_arms(results: Sequence[Result], predictions: Predictions) -> list[dict[str, Any]]:
    """Summarise each arm at each data fraction: metrics over runs, confusion, calibration, patients.

    Returns
    -------
    Per fraction and arm: ``metrics`` (mean, least, largest and each run), ``confusion`` summed over runs,
    ``per_class`` recall and precision, and of finished arms ``calibration`` and ``patient_level``.
    """
    arms = []
    for fraction, name in _named(results, predictions):
        of_arm = [
            r
            for r in results
            if r["fraction"] == fraction and r["arm"] == predictions.arm(name, r["fold"], fraction)
        ]
        confusion = np.sum([result["confusion"] for result in of_arm], axis=0)
        arms.append(
            {
                "fraction": fraction,
                "arm": name,
                "runs": len(of_arm),
                "metrics": {m: spread([result["metrics"][m] for result in of_arm]) for m in METRICS},
                "confusion": confusion.tolist(),
                "per_class": _per_class(confusion),
                **(
                    _probabilities(predictions, name, fraction)
                    if predictions.finished(name, fraction)
                    else {}
                ),
            }
        )
    return arms


def _named(results: Sequence[Result], predictions: Predictions) -> list[tuple[float, str]]:
    """Return fractions and arms of every fold, in order; ``chosen`` last if folds chose different arms."""
    every = dict.fromkeys((result["fraction"], result["arm"]) for result in results)
    named = [(fraction, arm) for fraction, arm in every if predictions.in_every_fold(arm, fraction)]
    data_fractions = dict.fromkeys(fraction for fraction, _ in every)
    return [
        *named,
        *((fraction, CHOSEN) for fraction in data_fractions if predictions.primary(fraction) == CHOSEN),
    ]


def _per_class(confusion: Any) -> list[dict[str, float | None]]:
    """Return recall, precision and F1 of each class, over all runs of an arm."""
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


def _probabilities(predictions: Predictions, arm: str, fraction: float) -> dict[str, Any]:
    """Return calibration and patient-level scores, over all runs of an arm."""
    runs = [run for seeds in predictions.probabilities(arm, fraction) for run in seeds]
    single = [calibration(found, predictions.labels) for found, _ in runs]
    together = np.concatenate([found for found, _ in runs])
    reliability = calibration(together, np.tile(predictions.labels, len(runs)))["reliability"]
    patients = [
        patient_scores(
            found, predictions.labels, predictions.groups, threshold=cuts, folds=predictions.fold_of
        )
        for found, cuts in runs
    ]
    return {
        "calibration": {
            **{name: spread([one[name] for one in single]) for name in ("ece", "brier")},
            "reliability": reliability,
        },
        "patient_level": {
            **{name: spread([one[name] for one in patients]) for name in ("balanced_accuracy", "auroc")},
            "n": patients[0]["n"],
            "left_out": patients[0]["left_out"],
        },
    }


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Return mean, smallest and largest of the defined values, and each of them."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "per_seed": list(values), "min": None, "max": None}
    return {"mean": float(np.mean(known)), "per_seed": list(values), "min": min(known), "max": max(known)}
