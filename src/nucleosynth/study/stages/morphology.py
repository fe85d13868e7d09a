"""Nuclei of a study's synthetic tiles beside those of its training patients, found by the judge in both."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.nuclei.morphology import compare_morphology
from nucleosynth.files import write_json
from nucleosynth.segmentation.segmenter import NONE
from nucleosynth.study.design.config import StudyConfig

MORPHOLOGY = "morphology.json"


def compare_pool_morphology(
    study: StudyConfig, tiles: TileSet, fold: Fold, *, pool: Path, folder: Path
) -> None:
    """Compare the nuclei of a pool with those of training tiles into ``folder``, test patients unseen.

    Nothing without a judge, a pool or a scale, and where it is there.
    """
    stored, judge = folder / MORPHOLOGY, study.segmenter.judge
    if stored.exists() or judge == NONE or tiles.mpp is None or not pool.exists():
        return
    found = compare_morphology(tiles, TileSet.open(pool), found_by=judge, patients=fold.train)
    write_json(stored, found.scores)
