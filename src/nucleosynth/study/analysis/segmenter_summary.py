"""The results of the segmentation arms, read from the study's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nucleosynth.evaluate.nuclei.patient_scores import COMPARED, Sums, compare_segmenters
from nucleosynth.files import read_json
from nucleosynth.study.analysis.results import spread
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.design.schedule import outer_fits, segmenter_jobs
from nucleosynth.study.design.segmentation import SEGMENTATION_ARMS

SCORES = "test-nuclei.json"


def read_segmenters(study: StudyConfig, out: Path, folds: int) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the scores and comparisons of the segmenters, and the folders of those not scored yet.

    Returns
    -------
    ``{"kind", "tiles", "steps", "arms": [{"fraction", "arm", "metrics"}], "comparisons"}``, of arms all of
    whose runs are scored; None where the study has no segmentation arms.
    """
    jobs = [job for fit in outer_fits(study, folds) for job in segmenter_jobs(study, fit)]
    if not jobs:
        return None, []
    missing = [job.folder for job in jobs if not (out / job.folder / SCORES).exists()]
    arms, comparisons, kind, tiles = [], [], None, 0
    for fraction in study.arms.data_fractions:
        runs: dict[str, list[list[Sums]]] = {}
        for arm in SEGMENTATION_ARMS:
            of_arm = [job for job in jobs if (job.name, job.fit.fraction) == (arm, fraction)]
            if any(job.folder in missing for job in of_arm):
                continue
            scored = [(job, read_json(out / job.folder / SCORES)) for job in of_arm]
            kind = scored[0][1]["kind"]
            tiles = sum(found["tiles"] for job, found in scored if (job.generator, job.seed) == (0, 0))
            runs[arm] = _crossed(scored)
            metrics = {name: spread([found["scores"][name] for _, found in scored]) for name in COMPARED}
            arms.append({"fraction": fraction, "arm": arm, "runs": len(scored), "metrics": metrics})
        if "real" in runs:
            comparisons += [
                {"fraction": fraction, **one} for one in compare_segmenters(runs, seed=study.seed)
            ]
    found = {"kind": kind, "tiles": tiles, "steps": study.segmentation.steps}
    return {**found, "arms": arms, "comparisons": comparisons}, missing


def _crossed(scored: list[tuple[Job, dict[str, Any]]]) -> list[list[Sums]]:
    """Join the folds of each generator and seed, [generator][seed]."""
    joined: dict[tuple[int, int], dict[str, Any]] = {}
    for job, found in scored:
        joined.setdefault((job.generator, job.seed), {}).update(found["sums"])
    generators = sorted({generator for generator, _ in joined})
    return [[joined[key] for key in sorted(joined) if key[0] == generator] for generator in generators]
