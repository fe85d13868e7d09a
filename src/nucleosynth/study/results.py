"""From the results of all arms to the record that the report shows: means, paired differences, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.classification import METRICS, metric_statistic
from nucleosynth.evaluate.uncertainty import paired_difference, verdict
from nucleosynth.runs import read_json
from nucleosynth.study.protocol import StudyConfig, arm_jobs, job_folder

Result = Mapping[str, Any]


def summarise_arms(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Mean, least and largest value of each metric over an arm's runs, and its summed confusion matrix."""
    arms = []
    for name in dict.fromkeys(result["arm"] for result in results):
        of_arm = [result for result in results if result["arm"] == name]
        metrics = {metric: _spread([result["test"][metric] for result in of_arm]) for metric in METRICS}
        confusion = np.sum([result["test"]["confusion"] for result in of_arm], axis=0)
        arms.append({"arm": name, "metrics": metrics, "confusion": confusion.tolist()})
    return arms


def compare_arms(study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> list[dict[str, Any]]:
    """Paired differences of every arm to real-only on the test patients of the first fold.

    One value per run and metric; patients and seeds are resampled together. Below 10 test patients there is
    no interval but the difference of each patient.
    """
    statistics = _Statistics(study, tiles, split, out)
    metrics = [study.report.primary, *(m for m in study.report.metrics if m != study.report.primary)]
    comparisons = []
    for arm in study.arms.all:
        for baseline in ("real", "oversampled"):
            if (
                arm.name in ("real", baseline)
                or baseline not in study.arms.controls
                or (baseline != "real" and arm.dose is None)
            ):
                continue
            for metric in metrics:
                found = paired_difference(
                    statistics.of(arm.name, metric),
                    statistics.of(baseline, metric),
                    groups=statistics.groups,
                    seed=study.seed,
                )
                comparisons.append(
                    {
                        "arm": arm.name,
                        "baseline": baseline,
                        "metric": metric,
                        "difference": found.estimate,
                        "interval": None if found.lo is None else [found.lo, found.hi],
                        "n_patients": found.n_patients,
                        "per_patient": found.per_patient,
                        "verdict": verdict(found.lo, found.hi, metric),
                    }
                )
    return comparisons


class _Statistics:
    """The metric of each run of an arm as a function of drawn patients."""

    def __init__(self, study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> None:
        rows = tiles.rows_of(split.folds[0].test)
        self._rows = rows[tiles.labels[rows] >= 0]
        self._labels = tiles.labels[self._rows]
        self.groups = tiles.patients[self._rows]
        self._jobs = list(arm_jobs(study, 1))
        self._out = out

    def of(self, arm: str, metric: str) -> list[Any]:
        found = []
        for job in self._jobs:
            if job["arm"]["name"] != arm:  # type: ignore[index]
                continue
            folder = self._out / job_folder(job)
            probabilities = np.load(folder / "test.npy")
            threshold = read_json(folder / "result.json")["threshold"]
            found.append(
                metric_statistic(metric, probabilities, self._labels, groups=self.groups, threshold=threshold)
            )
        return found


def study_verdict(
    study: StudyConfig,
    arms: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    judged: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what the study shows, in words that follow from the intervals' bounds."""
    lines = [
        *_arm_lines(study, comparisons),
        *_mask_lines(judged.get("agreement")),
        *_fidelity_lines(judged.get("fidelity")),
    ]
    return {"headline": _headline(study, arms, comparisons), "lines": lines}


def _headline(
    study: StudyConfig, arms: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> str:
    if not arms:
        return "No classes, no classifier: the generator is judged by its masks and its likeness to tissue."
    primary = _doses(study, comparisons, study.report.primary)
    if not primary:
        return "No arm with real and synthetic tiles was run."
    if all(c["interval"] is None for c in primary):
        return (
            f"Too few test patients ({primary[0]['n_patients']}) for a claim; see each patient's difference."
        )
    auroc = {(c["arm"], c["baseline"]): c["verdict"] for c in _doses(study, comparisons, "auroc")}
    for name in dict.fromkeys(c["arm"] for c in primary):
        of_arm = [c for c in primary if c["arm"] == name]
        if all(c["verdict"] == "helps" and auroc.get((name, c["baseline"])) == "helps" for c in of_arm):
            baselines = " and ".join(c["baseline"] for c in of_arm)
            words = f"{_words(study.report.primary)} and AUROC"
            return f"Synthetic tiles help: {name} is above {baselines} in {words}."
    harmful = [c for c in primary if c["verdict"] == "harms" and c["baseline"] == "real"]
    if harmful:
        return (
            f"No help shown; {harmful[0]['arm']} is below real tiles alone in {_words(study.report.primary)}."
        )
    return "No help shown: no dose is above every control with intervals that exclude zero."


def _doses(
    study: StudyConfig, comparisons: Iterable[Mapping[str, Any]], metric: str
) -> list[Mapping[str, Any]]:
    doses = {arm.name for arm in study.arms.all if arm.kind == "dose"}
    return [c for c in comparisons if c["metric"] == metric and c["arm"] in doses]


def _arm_lines(study: StudyConfig, comparisons: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for c in comparisons:
        if c["metric"] == study.report.primary and c["baseline"] == "real" and c["difference"] is not None:
            bounds = (
                ""
                if c["interval"] is None
                else f" (95 % interval {c['interval'][0]:+.3f} to {c['interval'][1]:+.3f})"
            )
            lines.append(
                f"{c['arm']} minus real, {_words(c['metric'])}: {c['difference']:+.3f}{bounds}; "
                f"{c['verdict']}."
            )
    return lines


def _mask_lines(agreement: Mapping[str, Any] | None) -> list[str]:
    test = (agreement or {}).get("test")
    if not test or test["iou"] is None:
        return []
    line = f"Masks asked for and found ({test['judge']}): IoU {test['iou']:.3f}"
    if test["floor"] is not None:
        line += f", by chance {test['floor']:.3f}"
    if test["corrected"] is not None:
        line += f", on real tiles {test['ceiling']:.3f}; corrected agreement {test['corrected']:.2f}"
    return [line + "."]


def _fidelity_lines(fidelity: Mapping[str, Any] | None) -> list[str]:
    test = (fidelity or {}).get("test")
    if not test or test["kid"] is None:
        return []
    floor = test["floor"]
    within, between = (("unknown" if floor[k] is None else f"{floor[k]:.3f}") for k in ("within", "between"))
    kid = (
        f"KID to the training patients ({test['extractor']}, n = {test['n']}): {test['kid']:.3f}; "
        f"unseen real patients {between}, two halves of the training patients {within}."
    )
    return [kid, *_coverage_lines(test.get("neighbours"))]


def _coverage_lines(neighbours: Mapping[str, Any] | None) -> list[str]:
    """Nothing for tiles that were judged by an older version, or without two training patients."""
    if not neighbours or neighbours["coverage"]["of_real"] is None:
        return []
    found = neighbours["coverage"]
    return [
        f"Coverage of training patients ({neighbours['n']} tiles): {found['synthetic']:.3f}, by as many real "
        f"tiles of others {found['real']:.3f}: {found['of_real']:.2f} of real."
    ]


def _words(metric: str) -> str:
    return {"auroc": "AUROC", "kappa": "quadratic kappa", "macro_f1": "macro-F1"}.get(
        metric, metric.replace("_", " ")
    )


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "per_seed": list(values), "min": None, "max": None}
    return {"mean": float(np.mean(known)), "per_seed": list(values), "min": min(known), "max": max(known)}
