"""Write the report of a study: record, pictures, figures and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.files import read_jsonl
from nucleosynth.seeds import rng
from nucleosynth.study.analysis.record import read_scores, study_record
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.schedule import outer_fits
from nucleosynth.study.report.page import build_report, save_figures
from nucleosynth.study.stages.context import FitContext
from nucleosynth.study.stages.generator_scores import held_out_rows
from nucleosynth.study.stages.memorization import pair_pictures
from nucleosynth.training.metrics import METRICS_FILE

SHOWN = 32


def write_record(study: StudyConfig, out: Path, *, real_tiles: bool = True) -> Path:
    """Write ``report.json``, ``report.html`` and ``figures/`` from a study's directory.

    Without real tiles, and without variations of them, the report is written into ``shared-report``, with
    numbers in place of patient ids.

    Returns
    -------
    The path of ``report.html``.
    """
    tiles = TileSet.open(out / "tiles")
    split = Split.load(out / "split.json")
    record = study_record(study, tiles, split, out)
    if not real_tiles:
        record = {**record, "command": "nucleosynth study run"}  # the original names folders of this machine
    pictures = study_pictures(study, tiles, split.folds[0], out)
    if not real_tiles and study.synthesis.variation is not None:  # too near to the real tiles
        pictures = {name: value for name, value in pictures.items() if not name.startswith("synthetic")}
    target = out if real_tiles else out / "shared-report"
    save_figures(record, pictures, target / "figures")
    patients = sorted(set(tiles.patients.tolist()) - {""})
    return build_report(record, pictures, target, real_tiles=real_tiles, patients=patients)


def study_pictures(study: StudyConfig, tiles: TileSet, fold: Fold, out: Path) -> dict[str, Any]:
    """Pick tiles at random: real ones of training patients, synthetic ones of the pool or for test masks."""
    train, first = tiles.rows_of(fold.train), outer_fits(study, 1)[0]
    pool_path = out / first.pool(0)
    losses = read_jsonl(out / first.generator(0) / METRICS_FILE)
    curve = [(record["step"], record["loss"]) for record in losses]
    scores = out / first.scores(0)
    pairs = pair_pictures(read_scores(out, first, 0).get("memorization"), scores)
    pictures: dict[str, Any] = {"real": {}, "synthetic": {}, "synthetic_masks": {}}
    pictures |= {"loss_curve": curve, "pairs": pairs}
    if not tiles.classes:
        pictures["real"]["all"] = _images(tiles, _pick(train, study.seed))
        if (scores / "test.npy").exists():
            held_out, masks = _held_out_tiles(study, tiles, fold, out)
            pictures["synthetic"]["all"], pictures["synthetic_masks"]["all"] = held_out, masks
        return pictures
    pool = TileSet.open(pool_path) if pool_path.exists() else None
    for index, name in enumerate(tiles.classes):
        pictures["real"][name] = _images(tiles, _pick(train[tiles.labels[train] == index], study.seed))
        if pool is not None:
            rows = _pick(np.flatnonzero(pool.labels == index), study.seed)
            pictures["synthetic"][name] = _images(pool, rows)
            pictures["synthetic_masks"][name] = None if pool.masks is None else np.asarray(pool.masks[rows])
    return pictures


def _held_out_tiles(study: StudyConfig, tiles: TileSet, fold: Fold, out: Path) -> tuple[Any, Any]:
    context = FitContext(study, tiles, outer_fits(study, 1)[0], fold, out)
    rows = held_out_rows(context, "test")
    made = np.load(context.path(context.fit.scores(0)) / "test.npy")
    shown = _pick(np.arange(len(rows)), study.seed)
    return made[shown], None if tiles.masks is None else np.asarray(tiles.masks[rows[shown]])


def _pick(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    return np.asarray(rng(seed, "shown").permutation(rows)[:SHOWN])


def _images(tiles: TileSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    return np.asarray(tiles.images[rows])
