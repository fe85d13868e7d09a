"""The segmentation arms: a segmenter trained on real or synthetic tiles and masks, one arm, one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.patient_scores import nuclei_scores, nuclei_sums
from nucleosynth.files import read_json, write_json
from nucleosynth.segmentation.backends.learned import LearnedSegmenter
from nucleosynth.segmentation.learned.config import NetworkTraining
from nucleosynth.segmentation.learned.tiles import TrainingTiles, crop_for, train_on_tiles
from nucleosynth.segmentation.learned.weights import CARD, load_weights
from nucleosynth.segmentation.tilesets import find_nuclei, mask_segmenters
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.design.segmentation import SegmentationArm, SegmentationConfig, arm_named
from nucleosynth.study.stages.context import FitContext
from nucleosynth.study.stages.primary_arm import record_test_access
from nucleosynth.study.stages.training_sets import training_patients
from nucleosynth.training.devices import choose_device
from nucleosynth.training.metrics import trained_seconds


def train_arm(context: FitContext, job: Job) -> dict[str, Any]:
    """Train the segmenter of one segmentation arm; the test patients are not read.

    Returns
    -------
    Names of the job, and ``steps``, ``seconds`` and ``weights_hash`` of the run.

    Raises
    ------
    InputError
        Tiles without masks or scale; a pool that depends on a patient outside the training part of the fit,
        or no pool where the arm needs one; a study without segmentation arms.
    """
    study, tiles, train = context.study, context.tiles, sorted(set(context.patients.train))
    arm, config = arm_named(job.name), study.segmentation
    drawn = config.synthetic_share(arm) > 0
    pool = TileSet.open(context.path(context.fit.pool(job.generator))) if drawn else None
    folder = context.path(job.folder)
    weights = train_on_tiles(
        segmenter_training_tiles(arm, config, tiles, fit=train, pool=pool),
        segmenter_training(config, tiles),
        out=folder,
        settings={
            "study": {
                "arm": arm,
                "tileset": tiles.content_hash,
                "pool": None if pool is None else pool.content_hash,
                "patients": train,
            }
        },
        seed=context.seed(job.seed),
        device=context.device,
    )
    card = read_json(weights / CARD)
    return {
        "arm": arm,
        "generator": job.generator,
        "seed": job.seed,
        "steps": card["steps"],
        "seconds": trained_seconds(folder),
        "weights_hash": card["weights_hash"],
    }


def score_arm(context: FitContext, job: Job) -> dict[str, Any]:
    """Score the segmenter of a job on the test patients, once all choices are locked."""
    names = {"arm": job.name, "generator": job.generator, "seed": job.seed}
    what = "segmenter scored on the test patients"
    return score_segmenter(
        context.path(job.folder),
        context.tiles,
        context.patients.test,
        before=lambda: record_test_access(context.out, what, fit=context.fit, **names),
        device=context.device,
    )


def segmenter_training(config: SegmentationConfig, tiles: TileSet) -> NetworkTraining:
    """Return the training settings of every arm: crops as wide as a tile, equally many steps."""
    if not config.steps:
        raise InputError("segmentation.steps is 0, so the study has no segmentation arms; set it above 0")
    return NetworkTraining(
        recipe=config.recipe,
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        crop=crop_for(max(tiles.size), tiles.scale),
    )


def segmenter_training_tiles(
    arm: SegmentationArm,
    config: SegmentationConfig,
    tiles: TileSet,
    *,
    fit: Sequence[str],
    pool: TileSet | None,
) -> list[TrainingTiles]:
    """Return the training set of a segmentation arm.

    Raises
    ------
    InputError
        Tiles without masks or scale; a pool that depends on a patient outside ``fit`` or has no record of its
        training patients, or no pool where the arm needs one.
    """
    share = config.synthetic_share(arm)
    parts = []
    if share < 1:
        parts.append(_training_tiles("real", tiles, tiles.rows_of(fit), share=1 - share, patients=fit))
    if share > 0:
        if pool is None:
            raise InputError(f"arm {arm}: trains on synthetic tiles and no pool was drawn; draw one first")
        trained_on = training_patients(pool)
        require_no_leakage(str(pool.path), trained_on, fit)
        rows = np.arange(len(pool), dtype=np.int64)
        parts.append(_training_tiles("synthetic", pool, rows, share=share, patients=trained_on))
    return parts


def score_segmenter(
    run: Path,
    tiles: TileSet,
    patients: Sequence[str],
    *,
    part: str = "test",
    before: Callable[[], None],
    device: str = "auto",
) -> dict[str, Any]:
    """Score a finished run on the annotated real tiles of patients it was not trained on; once.

    The result is kept in ``<part>-nuclei.json`` of the run directory.

    Parameters
    ----------
    before
        Called just before the tiles are read.

    Returns
    -------
    dict
        ``sums`` of each patient with masked tiles (see `nuclei_sums`), ``scores`` pooled over them,
        ``patients`` asked for, ``tiles`` counted, ``weights_hash``, ``tileset``, and ``kind``: ``agreement``
        where the masks were annotated, ``consistency`` where a segmenter found them.

    Raises
    ------
    InputError
        The run is not finished or was trained on one of the patients, its file holds the scores of other
        patients, or tiles have no masks or scale.
    """
    asked = sorted(set(patients))
    stored = run / f"{part}-nuclei.json"
    if stored.exists():
        return _stored(stored, asked)
    if not (run / "DONE").exists():
        raise InputError(f"{run}: training is not finished; run the study again to continue it")
    net, card = load_weights(run / "weights")
    known = {patient for part in card["training"] for patient in part["patients"]}
    if known & set(asked):
        raise InputError(f"{run}: was trained on patient {min(known & set(asked))}; score it on others")
    rows, mpp = _masked_rows(tiles, tiles.rows_of(asked)), tiles.scale
    segmenter = LearnedSegmenter(str(card["recipe"]), net, device=choose_device(device))
    before()
    images, masks = _pairs(tiles, rows)
    sums = nuclei_sums(find_nuclei(segmenter, images, mpp), masks, tiles.patients[rows])
    result = {
        "weights_hash": card["weights_hash"],
        "tileset": tiles.content_hash,
        "kind": "consistency" if mask_segmenters(tiles) else "agreement",
        "patients": asked,
        "tiles": len(rows),
        "scores": nuclei_scores(sums),
        "sums": sums,
    }
    write_json(stored, result)
    return result


def _stored(path: Path, asked: Sequence[str]) -> dict[str, Any]:
    found = dict(read_json(path))
    if found["patients"] != asked:
        raise InputError(f"{path}: holds the scores of other patients; choose another name for the part")
    return found


def _training_tiles(
    name: str, tiles: TileSet, rows: NDArray[np.int64], *, share: float, patients: Iterable[str]
) -> TrainingTiles:
    images, masks = _pairs(tiles, _masked_rows(tiles, rows))
    return TrainingTiles(
        name=name,
        images=images,
        masks=masks,
        mpp=tiles.scale,
        share=share,
        licence=str(tiles.info.get("licence", "")),
        patients=sorted(patients),
    )


def _masked_rows(tiles: TileSet, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    masked = rows[tiles.has_mask[rows]]
    if not len(masked):
        raise InputError(
            f"{tiles.path}: none of the {len(rows)} requested tiles has a mask for training or scoring"
        )
    return masked


def _pairs(tiles: TileSet, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    assert tiles.masks is not None  # rows are masked ones
    return np.asarray(tiles.images[rows]), np.asarray(tiles.masks[rows])
