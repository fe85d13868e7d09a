"""What a study runs: its fits, arms and jobs, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nucleosynth.study.design.arms import CHOSEN, Arm
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.paths import pool_folder
from nucleosynth.study.design.segmentation import SEGMENTATION_ARMS


def outer_fits(study: StudyConfig, folds: int) -> list[Fit]:
    """Return the fits whose test patients are scored, those of all training patients first."""
    return [Fit(fold, fraction) for fraction in study.arms.data_fractions for fold in range(folds)]


def all_fits(study: StudyConfig, folds: int) -> list[Fit]:
    """Return every fit, the inner ones of each before it."""
    outer = outer_fits(study, folds)
    return [fit for one in outer for fit in (*one.within(study.inner_folds), one)]


def fit_arms(study: StudyConfig, fit: Fit, chosen: str | None = None) -> list[Arm]:
    """Return the arms of a fit: in an inner fold only those among which is chosen.

    Parameters
    ----------
    chosen
        The arm that was chosen for the fit, None before that. Where no other candidate is tested, one arm
        ``chosen`` stands for it until then.
    """
    if fit.inner is not None:
        return study.arms.candidates
    arms = [arm for arm in study.arms.all if arm.kind != "held-back" or fit.fraction < 1]
    if study.choice.tested == "all" or not study.inner_folds:
        return arms
    first, *spared = study.arms.candidates
    tested = next((arm for arm in arms if arm.name == chosen), Arm(CHOSEN, "dose", dose=study.arms.dose))
    return [tested if arm == first else arm for arm in arms if arm not in spared]


def fit_generators(study: StudyConfig, fit: Fit) -> int:
    """Return how many generators a fit has: one in an inner fold."""
    return study.generator.seeds if fit.inner is None else 1


def arm_jobs(study: StudyConfig, fit: Fit, chosen: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield one job, plain data, per arm of `fit_arms`, generator seed and classifier seed of a fit.

    Arms without synthetic tiles do not depend on the generator and run once per classifier seed.
    """
    for arm in fit_arms(study, fit, chosen):
        for generator in range(fit_generators(study, fit) if arm.synthetic else 1):
            for seed in range(study.classifier.seeds):
                yield {
                    "fit": fit.plain,
                    "arm": asdict(arm),
                    "generator": generator,
                    "seed": seed,
                    "folder": f"{fit.folder}/arms/{arm.name}/generator-{generator}-seed-{seed}",
                }


def segmenter_jobs(study: StudyConfig, fit: Fit) -> Iterator[dict[str, Any]]:
    """Yield one job of the second judge per arm, generator seed and segmenter seed of an outer fit."""
    if not study.segmentation.steps or fit.inner is not None:
        return
    for arm in SEGMENTATION_ARMS:
        synthetic = study.segmentation.synthetic_share(arm) > 0
        for generator in range(study.generator.seeds if synthetic else 1):
            for seed in range(study.segmentation.seeds):
                yield {
                    "fit": fit.plain,
                    "arm": arm,
                    "generator": generator,
                    "seed": seed,
                    "pool": pool_folder(Path(), fit, generator).as_posix() if synthetic else None,
                    "folder": f"{fit.folder}/segmenters/{arm}/generator-{generator}-seed-{seed}",
                }
