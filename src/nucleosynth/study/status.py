"""Plan and progress of a study, and a report of the results so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_jsonl
from nucleosynth.study.design.config import StudyConfig, stored_study
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.schedule import all_fits, arm_jobs, fit_generators, segmenter_jobs
from nucleosynth.study.report.write import write_record
from nucleosynth.study.stages.primary_arm import chosen_arm, read_lock


def plan_study(study: StudyConfig, root: Path | None = None) -> dict[str, Any]:
    """Return the plan of a study: arms, seeds, jobs, budget and hash. Nothing is written or read."""
    fits = all_fits(study, study.split.folds or 1)
    jobs = [job for fit in fits for job in arm_jobs(study, fit)] if study.data.names_classes else []
    segmenters = [job for fit in fits for job in segmenter_jobs(study, fit)]
    drawn = any(job.inputs for job in (*jobs, *segmenters))
    budget = (
        {"minutes": study.generator.minutes} if study.generator.minutes else {"steps": study.generator.steps}
    )
    return {
        "name": study.name,
        "data": {"reader": study.data.reader, "root": None if root is None else str(root)},
        "generators": sum(_trained(study, fit) for fit in fits),
        "generator_budget": budget,
        "synthetic_tiles": study.synthesis.tiles if drawn else 0,
        "arms": [arm.name for arm in study.arms.all] if jobs else [],
        "primary_arm": study.report.arm,
        "fits": [fit.folder for fit in fits],
        "classifier_runs": len(jobs),
        "classifier_steps": study.classifier.steps * len(jobs),
        "segmenter_runs": len(segmenters),
        "primary": study.report.primary,
        "hash": study.protocol_hash,
    }


def study_status(out: Path) -> dict[str, Any]:
    """Return which stages of a study are done, running or waiting."""
    config = stored_study(out)
    folds = len(Split.load(out / "split.json").folds) if (out / "split.json").exists() else 1
    classes = TileSet.open(out / "tiles").classes if (out / "tiles").exists() else config.data.names_classes
    fits, locked = all_fits(config, folds), read_lock(out)
    arms = [job for fit in fits for job in arm_jobs(config, fit, chosen_arm(locked, fit))] if classes else []
    segmenters = [job for fit in fits for job in segmenter_jobs(config, fit)]
    jobs = [out / job.folder for job in (*arms, *segmenters)]
    trained = [out / fit.generator(seed) for fit in fits for seed in range(_trained(config, fit))]
    return {
        "name": config.name,
        "done": (out / "DONE").exists(),
        "tiles": (out / "tiles").exists(),
        "split": (out / "split.json").exists(),
        "generators": _progress(out, trained),
        "arms": _progress(out, jobs),
        "locked": locked is not None,
    }


def write_report(out: Path, *, real_tiles: bool = True) -> Path:
    """Write the report of a study again; without real tiles, into ``shared-report``.

    If the study is not finished, the report shows the results so far and lists what is missing.
    """
    study = stored_study(out)
    for name in ("tiles", "split.json"):
        if not (out / name).exists():
            raise InputError(
                f"{out}: there is no {name} yet, so nothing to report; run `nucleosynth study run`"
            )
    return write_record(study, out, real_tiles=real_tiles)


def _trained(study: StudyConfig, fit: Fit) -> int:
    """Return the number of generators that a fit trains: none if the study uses a pretrained one."""
    return fit_generators(study, fit) if study.generator.path is None else 0


def _progress(out: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """Return the number of finished trainings, the running ones with their step, and the number waiting."""
    done = [folder for folder in folders if (folder / "DONE").exists()]
    started = [folder for folder in folders if folder.exists() and not (folder / "DONE").exists()]
    return {
        "done": len(done),
        "started": {folder.relative_to(out).as_posix(): _step(folder) for folder in started},
        "waiting": len(folders) - len(done) - len(started),
    }


def _step(path: Path) -> int:
    """Return the last logged step of a training; 0 before the first."""
    records = read_jsonl(path / "metrics.jsonl")
    return int(records[-1]["step"]) if records else 0
