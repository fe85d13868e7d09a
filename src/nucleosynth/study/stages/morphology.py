"""Nuclei of a study's synthetic tiles compared with those of its training patients."""

from __future__ import annotations

from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.nuclei.morphology import compare_morphology
from nucleosynth.files import write_json
from nucleosynth.segmentation.segmenter import NONE
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext


def compare_pool(context: FitContext, job: Job) -> None:
    """Compare the nuclei of a pool with those of training tiles, once; the mask judge finds both.

    Nothing is compared without a mask judge or a scale.
    """
    (stored,), finder = job.outputs, context.study.segmenter.judge
    path = context.path(stored)
    if path.exists() or finder == NONE or context.tiles.mpp is None:
        return
    pool = TileSet.open(context.path(context.fit.pool(job.generator)))
    found = compare_morphology(context.tiles, pool, found_by=finder, patients=context.patients.train)
    write_json(path, found.scores)
