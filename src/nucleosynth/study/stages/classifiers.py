"""The classifiers of a fit: one arm with one seed, trained, and after the lock scored on test patients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nucleosynth.classify.scoring import score_part
from nucleosynth.classify.train import train_classifier
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext
from nucleosynth.study.stages.primary_arm import record_test_access
from nucleosynth.study.stages.training_sets import Pool, arm_training_set


def train_arm(context: FitContext, job: Job) -> dict[str, Any]:
    """Train the classifier of one arm and score it on the validation patients.

    Returns
    -------
    The content of ``result.json``.

    Raises
    ------
    InputError
        The pool depends on a patient outside the training part of the fit, or has too few tiles.
    """
    study, tiles, arm = context.study, context.tiles, context.study.arms.named(job.name)
    pool = Pool.open(context, job.generator, kept_by=arm.filter) if arm.synthetic else None
    training_set = arm_training_set(context, arm, pool)
    settings = {
        "arm": asdict(arm),
        "tileset": tiles.content_hash,
        "pool": None if pool is None else pool.tiles.content_hash,
        "fold": context.patients.model_dump(),
    }
    return train_classifier(
        training_set,
        study.classifier,
        evaluate={"validation": (tiles, context.rows("validation"))},
        out=context.path(job.folder),
        settings={"study": settings},
        seed=context.seed(job.seed),
        device=context.device,
    )


def score_arm(context: FitContext, job: Job) -> dict[str, Any]:
    """Score the classifier of a job on the test patients, once all choices are locked."""
    names = {"arm": job.name, "generator": job.generator, "seed": job.seed}
    what = "classifier scored on the test patients"
    return score_part(
        context.path(job.folder),
        "test",
        context.tiles,
        context.rows("test"),
        context.study.classifier,
        before=lambda: record_test_access(context.out, what, fit=context.fit, **names),
        device=context.device,
    )
