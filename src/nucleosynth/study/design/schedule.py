"""The schedule of a study: its fits, the arms of each, and the jobs of each."""

from __future__ import annotations

from dataclasses import replace

from nucleosynth.study.design.arms import CHOSEN, Arm
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import LOCK, Job
from nucleosynth.study.design.segmentation import SEGMENTATION_ARMS


def outer_fits(study: StudyConfig, folds: int) -> list[Fit]:
    """Return the fits whose test patients are scored; those with all training patients come first."""
    return [Fit(fold, fraction) for fraction in study.arms.data_fractions for fold in range(folds)]


def all_fits(study: StudyConfig, folds: int) -> list[Fit]:
    """Return every fit, the inner ones of each before it."""
    outer = outer_fits(study, folds)
    return [fit for one in outer for fit in (*one.within(study.inner_folds), one)]


def fit_arms(study: StudyConfig, fit: Fit, chosen: str | None = None) -> list[Arm]:
    """Return the arms of a fit: in an inner fold only the candidates.

    Parameters
    ----------
    chosen
        The arm that was chosen for the fit, None before that. If no other candidate is tested, one arm named
        ``chosen`` is listed until then.
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
    """Return the number of generators of a fit: one in an inner fold."""
    return study.generator.seeds if fit.inner is None else 1


def training_jobs(study: StudyConfig, fit: Fit, *, classes: bool, chosen: str | None = None) -> list[Job]:
    """Return the jobs of a fit that read no test patients: from generators to classifiers and segmenters.

    Parameters
    ----------
    classes
        Whether the tiles have classes; without them there are no arms.
    chosen
        As in `fit_arms`.
    """
    arms = arm_jobs(study, fit, chosen) if classes else []
    segmenters = segmenter_jobs(study, fit)
    wanted = {path for job in (*arms, *segmenters) for path in job.inputs}
    jobs = []
    for k in range(fit_generators(study, fit)):
        jobs += generator_jobs(study, fit, k)
        pool = Job(
            "pool",
            fit,
            fit.pool(k),
            generator=k,
            inputs=_generator_inputs(study, fit, k),
            outputs=_pool(fit, k),
        )
        filters = [
            Job(
                "filter",
                fit,
                fit.selection(k, name),
                name=name,
                generator=k,
                inputs=_pool(fit, k),
                outputs=_selection(fit, k, name),
            )
            for name in study.arms.filters
            if wanted.intersection(_selection(fit, k, name))
        ]
        if filters or wanted.intersection(pool.outputs):
            jobs += [pool, *filters]
    return [*jobs, *arms, *segmenters]


def generator_jobs(study: StudyConfig, fit: Fit, generator: int) -> list[Job]:
    """Return the job that trains a generator; none if the study uses a pretrained one."""
    if study.generator.path is not None:
        return []
    outputs = _generator_inputs(study, fit, generator)
    return [Job("generator", fit, fit.generator(generator), generator=generator, outputs=outputs)]


def arm_jobs(study: StudyConfig, fit: Fit, chosen: str | None = None) -> list[Job]:
    """Return one job per arm of `fit_arms`, generator seed and classifier seed of a fit.

    Arms without synthetic tiles do not depend on the generator and run once per classifier seed.
    """
    jobs = []
    for arm in fit_arms(study, fit, chosen):
        for generator in range(fit_generators(study, fit) if arm.synthetic else 1):
            for seed in range(study.classifier.seeds):
                inputs = _tiles_of(arm, fit, generator)
                jobs.append(_downstream("classifier", "arms", fit, arm.name, generator, seed, inputs))
    return jobs


def segmenter_jobs(study: StudyConfig, fit: Fit) -> list[Job]:
    """Return one job per segmentation arm, generator seed and segmenter seed of an outer fit."""
    if not study.segmentation.steps or fit.inner is not None:
        return []
    jobs = []
    for arm in SEGMENTATION_ARMS:
        synthetic = study.segmentation.synthetic_share(arm) > 0
        for generator in range(study.generator.seeds if synthetic else 1):
            for seed in range(study.segmentation.seeds):
                inputs = _pool(fit, generator) if synthetic else ()
                jobs.append(_downstream("segmenter", "segmenters", fit, arm, generator, seed, inputs))
    return jobs


def scoring_jobs(study: StudyConfig, fit: Fit, *, classes: bool, chosen: str | None = None) -> list[Job]:
    """Return the jobs of an outer fit after the lock, which score everything, also the generators."""
    jobs = [
        replace(
            job,
            stage=f"{job.stage}-test",
            inputs=(*job.outputs, LOCK),
            outputs=(f"{job.folder}/{scores}",),
        )
        for made, scores in (
            (arm_jobs(study, fit, chosen) if classes else [], "test.json"),
            (segmenter_jobs(study, fit), "test-nuclei.json"),
        )
        for job in made
    ]
    whole = fit.fraction == max(study.arms.fractions)
    for k in range(study.generator.seeds if whole else 1):
        trained, folder = _generator_inputs(study, fit, k), fit.scores(k)
        for stage, lock in (("generator-scores", (LOCK,)), ("memorization", ())):
            made = (f"{folder}/{stage}.json",)
            jobs.append(Job(stage, fit, folder, generator=k, inputs=(*trained, *lock), outputs=made))
    if any(
        _pool(fit, 0)[0] in job.inputs for job in training_jobs(study, fit, classes=classes, chosen=chosen)
    ):
        made = (f"{fit.scores(0)}/morphology.json",)
        jobs.append(Job("morphology", fit, fit.scores(0), inputs=_pool(fit, 0), outputs=made))
    return jobs


def _downstream(
    stage: str, kind: str, fit: Fit, arm: str, generator: int, seed: int, inputs: tuple[str, ...]
) -> Job:
    """Return the job that trains a classifier or a segmenter of an arm; ``kind`` is the folder of all."""
    folder = f"{fit.folder}/{kind}/{arm}/generator-{generator}-seed-{seed}"
    return Job(
        stage,
        fit,
        folder,
        name=arm,
        generator=generator,
        seed=seed,
        inputs=inputs,
        outputs=(f"{folder}/DONE",),
    )


def _generator_inputs(study: StudyConfig, fit: Fit, generator: int) -> tuple[str, ...]:
    return () if study.generator.path is not None else (f"{fit.generator(generator)}/DONE",)


def _pool(fit: Fit, generator: int) -> tuple[str, ...]:
    return (f"{fit.pool(generator)}/tileset.json",)


def _selection(fit: Fit, generator: int, name: str) -> tuple[str, ...]:
    return (f"{fit.selection(generator, name)}/DONE",)


def _tiles_of(arm: Arm, fit: Fit, generator: int) -> tuple[str, ...]:
    """Return the synthetic tiles that an arm reads."""
    if not arm.synthetic:
        return ()
    return _pool(fit, generator) if arm.filter is None else _selection(fit, generator, arm.filter)
