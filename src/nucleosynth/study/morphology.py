"""Nuclei of a study's synthetic tiles beside those of its training patients, found by the judge in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.morphology import compare_morphology
from nucleosynth.nuclei.segmenter import NOBODY
from nucleosynth.runs import read_json, write_json
from nucleosynth.study.protocol import StudyConfig

MORPHOLOGY = "morphology.json"


def judge_morphology(
    study: StudyConfig, tiles: TileSet, fold: Fold, *, pool: Path, folder: Path
) -> dict[str, Any] | None:
    """Compare the nuclei of a pool with those of training tiles; kept in ``folder``, test patients unseen.

    Returns
    -------
    The scores of `compare_morphology`; None without a judge, a pool or a scale.
    """
    stored = folder / MORPHOLOGY
    if stored.exists():
        return dict(read_json(stored))
    if study.segmenter.judge == NOBODY or tiles.mpp is None or not pool.exists():
        return None
    found = compare_morphology(
        tiles, TileSet.open(pool), found_by=study.segmenter.judge, patients=fold.train
    ).scores
    write_json(stored, found)
    return found
