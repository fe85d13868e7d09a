"""Run one job of a study: the function that an engine calls, in any process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nucleosynth.registry import Registry
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext

Stage = Callable[[FitContext, Job], object]

_STAGES = "nucleosynth.study.stages"
STAGES: Registry[Stage] = Registry(
    "stage",
    {
        "generator": f"{_STAGES}.generators:train",
        "pool": f"{_STAGES}.generators:fill_pool",
        "filter": f"{_STAGES}.selection:run_filter",
        "classifier": f"{_STAGES}.classifiers:train_arm",
        "classifier-test": f"{_STAGES}.classifiers:score_arm",
        "segmenter": f"{_STAGES}.segmenters:train_arm",
        "segmenter-test": f"{_STAGES}.segmenters:score_arm",
        "generator-scores": f"{_STAGES}.generator_scores:score_generator",
        "memorization": f"{_STAGES}.memorization:audit_generator",
        "morphology": f"{_STAGES}.morphology:compare_pool",
    },
)


def run_job(data: Mapping[str, Any]) -> object:
    """Run a job.

    Parameters
    ----------
    data
        Plain data, as `FitContext.plain` returns it.

    Raises
    ------
    InputError, WorkError
        The errors of the stage.
    """
    job = Job.from_plain(data["job"])
    return STAGES.get(job.stage)(FitContext.open(data, job.fit), job)
