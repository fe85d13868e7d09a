"""Mask agreement and fidelity of one fold's generator, on validation and then on test patients."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.diffusion.synthesis import draw_like
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.by_class import fidelity_by_class
from nucleosynth.evaluate.fidelity.features import Extractor, Remembering, get_extractor
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.nuclei.mask_scores import MaskScores, refuse_own_masks, tile_mask_scores
from nucleosynth.files import write_array, write_json
from nucleosynth.seeds import rng, some_rows
from nucleosynth.segmentation.segmenter import NONE, Segmenter, get_segmenter
from nucleosynth.segmentation.tilesets import mask_segmenters
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext, Part
from nucleosynth.study.stages.generators import open_generator
from nucleosynth.study.stages.primary_arm import record_test_access

_log = logging.getLogger(__name__)
PARTS: tuple[Part, ...] = ("validation", "test")
FIRST_INDEX = 10_000_000  # far from the indices of the pool


def score_generator(context: FitContext, job: Job) -> None:
    """Score a generator on held-out patients and write ``generator-scores.json``, once.

    Tiles are drawn for the labels and masks of held-out patients, with stains of training patients. They are
    used for scores alone: no arm trains on them.

    The file holds ``agreement`` and ``fidelity`` (each None, or with ``validation`` and ``test``) and
    ``generator``.
    """
    stored = context.path(job.outputs[0])
    if stored.exists():
        return
    generator = open_generator(context, job.generator)
    agreement: dict[str, Any] = {}
    likeness: dict[str, Any] = {}
    speed: float | None = None
    extractor = shared_extractor(context.study.fidelity.extractor)
    for part in PARTS:
        if part == "test":
            what = "generator scored on the test patients"
            record_test_access(context.out, what, fit=context.fit, generator=job.generator)
        rows = held_out_rows(context, part)
        made, seconds = _held_out_tiles(context, generator, rows, stored.parent / f"{part}.npy")
        speed = None if seconds is None else len(made) / seconds
        agreement[part] = _agreement(context, generator, rows, made)
        likeness[part] = None if extractor is None else _fidelity(context, extractor, rows, made)
    start = generator.card.start
    result = {
        "agreement": agreement if agreement["test"] else None,
        "fidelity": likeness if likeness["test"] else None,
        "generator": {
            "generator_id": generator.generator_id,
            "parameters": generator.parameters,
            "steps": generator.card.steps,
            "start": start and (start.name or start.generator),
            "images_per_second": speed,
        },
    }
    write_json(stored, result)


def shared_extractor(name: str) -> Extractor | None:
    """Return the extractor of a study, or None; it computes the features of a tile once per process."""
    return None if name == NONE else _remembering(name)


@functools.lru_cache(maxsize=1)
def _remembering(name: str) -> Extractor:
    return Remembering(get_extractor(name))


def mask_judge(study: StudyConfig, tiles: TileSet) -> Segmenter | None:
    """Return the mask judge, which finds the nuclei of synthetic tiles; None if the study has none.

    Raises
    ------
    InputError
        The name is unknown, or is that of the segmenter that made the masks of the tiles.
    """
    if study.segmenter.judge == NONE:
        return None
    judge = get_segmenter(study.segmenter.judge)
    refuse_own_masks(judge, tiles)
    return judge


def held_out_rows(context: FitContext, part: Part) -> npt.NDArray[np.int64]:
    """Return the rows of held-out patients that a generator is scored on, at most ``fidelity.tiles``."""
    study = context.study
    return some_rows(study.seed, "judged", context.usable_rows(part), study.fidelity.tiles)


def _held_out_tiles(
    context: FitContext, generator: Generator, rows: npt.NDArray[np.int64], kept: Path
) -> tuple[npt.NDArray[np.uint8], float | None]:
    """Draw a tile for the label and mask of each held-out row, with a training stain; also return seconds."""
    if kept.exists():
        return np.asarray(np.load(kept)), None
    study, tiles, train = context.study, context.tiles, context.rows("train")
    stains = slide_descriptors(tiles, train)
    stain = stains[rng(study.seed, "judged-stain").integers(len(train), size=len(rows))]
    plan = resolve_sampling(generator.card, **study.synthesis.sampling)
    started = time.monotonic()
    made = draw_like(generator, tiles, rows, plan, stain=stain, seed=study.seed, first=FIRST_INDEX)
    seconds = time.monotonic() - started
    write_array(kept, made)
    return made, seconds


def _agreement(
    context: FitContext,
    generator: Generator,
    rows: npt.NDArray[np.int64],
    made: npt.NDArray[np.uint8],
) -> MaskScores | None:
    """Compare requested masks with the nuclei found; the real tiles of the same rows give the ceiling."""
    tiles = context.tiles
    with_mask = tiles.has_mask[rows]
    segmenter = mask_judge(context.study, tiles)
    if segmenter is None or not generator.card.masks or tiles.masks is None or tiles.mpp is None:
        return None
    if not with_mask.any():
        return None
    rows, made = rows[with_mask], made[with_mask]
    masks, patients = np.asarray(tiles.masks[rows]), tiles.patients[rows]
    real = None if mask_segmenters(tiles) else (np.asarray(tiles.images[rows]), masks, patients)
    return tile_mask_scores(segmenter, (made, masks, patients), real=real, mpp=tiles.mpp)


def _fidelity(
    context: FitContext, extractor: Extractor, rows: npt.NDArray[np.int64], made: npt.NDArray[np.uint8]
) -> Mapping[str, Any] | None:
    """Compare tiles drawn for held-out rows with training tiles; None, with a warning, if impossible."""
    study, tiles = context.study, context.tiles
    train = some_rows(study.seed, "judged", context.rows("train"), study.fidelity.tiles)
    settings: dict[str, Any] = {"extractor": extractor, "limit": study.fidelity.tiles, "seed": study.seed}
    real, held_out = (_labelled(tiles, which, np.asarray(tiles.images[which])) for which in (train, rows))
    synthetic = _labelled(tiles, rows, made)
    try:
        if tiles.classes:
            return fidelity_by_class(real, synthetic, held_out=held_out, classes=tiles.classes, **settings)
        return fidelity(real, synthetic, held_out=held_out, **settings)
    except InputError as error:
        _log.warning("fidelity is left out: %s", error)
        return None


def _labelled(
    tiles: TileSet, rows: npt.NDArray[np.int64], images: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    return images, tiles.patients[rows], tiles.labels[rows]
