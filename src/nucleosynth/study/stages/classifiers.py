"""One arm with one seed: jobs that any process can run, given the study's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nucleosynth.classify.mixture import class_frequencies
from nucleosynth.classify.scoring import score_part
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.study.design.arms import Arm
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.stages.primary_arm import record_test_access
from nucleosynth.study.stages.segmenters import score_segmenter
from nucleosynth.study.stages.training_sets import Pool, arm_training_set


def run_arm(job: Mapping[str, Any]) -> dict[str, Any]:
    """Train the classifier of one arm and score it on the validation patients.

    Parameters
    ----------
    job
        ``{"out", "study", "device", "fit", "arm", "generator", "seed", "folder", "patients"}``: plain data.
        ``out`` is the study's directory, which holds tiles, split and the synthetic pools; ``folder`` is that
        of the run below it; ``patients`` are those of the fit, by part.

    Returns
    -------
    The content of ``result.json``.

    Raises
    ------
    InputError
        The pool saw a patient outside the training part of the fit, or holds too few tiles.
    """
    out, fit, arm = Path(job["out"]), Fit(**job["fit"]), Arm(**job["arm"])
    study, tiles, split = _opened(job)
    fold = Fold.model_validate(job["patients"])
    pool = Pool.open(out, fit, job["generator"], fold=fold, kept_by=arm.filter) if arm.synthetic else None
    training_set = arm_training_set(
        arm, tiles, fold, pool, everybody=split.folds[fit.fold].train, seed=study.seed
    )
    settings = {
        "arm": dict(job["arm"]),
        "tileset": tiles.content_hash,
        "pool": None if pool is None else pool.tiles.content_hash,
        "fold": fold.model_dump(),
    }
    return train_classifier(
        training_set.parts,
        study.classifier,
        natural=class_frequencies(tiles.labels[tiles.rows_of(fold.train)], len(tiles.classes)),
        balance=arm.balance,
        strong=training_set.strong,
        first=training_set.first,
        first_share=training_set.first_share,
        evaluate={"validation": (tiles, tiles.rows_of(fold.validation))},
        out=out / job["folder"],
        settings={"study": settings},
        seed=study.seed * 1000 + job["seed"],
        device=job["device"],
    )


def score_classifier_on_test(job: Mapping[str, Any]) -> dict[str, Any]:
    """Score the classifier of a job of `run_arm` on the test patients, once all choices are locked."""
    out, fit = Path(job["out"]), Fit(**job["fit"])
    study, tiles, split = _opened(job)
    names = {"arm": job["arm"]["name"], "generator": job["generator"], "seed": job["seed"]}
    return score_part(
        out / job["folder"],
        "test",
        tiles,
        tiles.rows_of(split.folds[fit.fold].test),
        study.classifier,
        before=lambda: record_test_access(out, "classifier scored on the test patients", fit=fit, **names),
        device=job["device"],
    )


def score_segmenter_on_test(job: Mapping[str, Any]) -> dict[str, Any]:
    """Score the segmenter of a job of `run_segmenter` on the test patients, once all choices are locked."""
    out, fit = Path(job["out"]), Fit(**job["fit"])
    _, tiles, split = _opened(job)
    names = {key: job[key] for key in ("arm", "generator", "seed")}
    return score_segmenter(
        out / job["folder"],
        tiles,
        split.folds[fit.fold].test,
        before=lambda: record_test_access(out, "segmenter scored on the test patients", fit=fit, **names),
        device=job["device"],
    )


def _opened(job: Mapping[str, Any]) -> tuple[StudyConfig, TileSet, Split]:
    out = Path(job["out"])
    study = StudyConfig.model_validate(job["study"])
    return study, TileSet.open(out / "tiles"), Split.load(out / "split.json")
