"""The copies audit of a study's generator, on the tiles where copies are most likely."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
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
from nucleosynth.evaluate.fidelity.features import Extractor
from nucleosynth.evaluate.memorization.audit import Pair, Real, memorization
from nucleosynth.evaluate.memorization.audit_io import pair_tiles
from nucleosynth.evaluate.memorization.structure_search import CELLS
from nucleosynth.files import write_array, write_json
from nucleosynth.seeds import some_rows
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext, Part
from nucleosynth.study.stages.generator_scores import shared_extractor
from nucleosynth.study.stages.generators import open_generator

FIRST_INDEX = 20_000_000  # far from the indices of the pool and of the tiles for held-out patients
MADE, NEAREST = "copies.npy", "nearest.npy"
Pixels = npt.NDArray[np.uint8]
_log = logging.getLogger(__name__)


def initial_weights_tiles(study: StudyConfig, tiles: TileSet, root: Path) -> list[TileSet]:
    """Open the TileSets of ``memorization.also``; refuse those that cannot be compared with the study's."""
    found = [TileSet.open(root / name) for name in study.memorization.also]
    for other in found:
        if other.size != tiles.size:
            sizes = [f"{height} x {width}" for height, width in (other.size, tiles.size)]
            raise InputError(
                f"memorization.also: {other.path} has tiles of {sizes[0]} px, the study of {sizes[1]} px; "
                "cut both to the same size"
            )
    return found


def audit_generator(context: FitContext, job: Job) -> None:
    """Search the tiles of a generator for copies of training tiles; write ``memorization.json``, once."""
    stored = context.path(job.outputs[0])
    if stored.exists():
        return
    generator = open_generator(context, job.generator)
    extractor = shared_extractor(context.study.fidelity.extractor)
    write_json(stored, {"memorization": find_copies(context, generator, extractor, folder=stored.parent)})


def find_copies(
    context: FitContext, generator: Generator, extractor: Extractor | None, *, folder: Path
) -> dict[str, Any] | None:
    """Search for copies of training tiles among tiles drawn for their own class, mask and stain.

    As a control, as many tiles are drawn for validation tiles: a tile is similar to the one whose mask it
    follows, even if the generator was not trained on that one. Variations have no such control: they are
    near their donor because they were made from it, which must be known before they are published. No test
    patient is read. Tiles are kept in ``folder`` as ``copies.npy`` and ``control.npy``, the nearest training
    tile of each pair as ``nearest.npy``.

    Returns
    -------
    The scores of `memorization` with ``pairs`` (rows of ``copies.npy`` and of all tiles compared),
    ``patients_of_start`` whose tiles were compared too, and ``patients_not_compared``, whose tiles are not
    available; None if the study has no audit or no extractor, or if the search is impossible: fewer than two
    training patients, tiles of a size that cannot be compared, or features that are not finite.
    """
    study, tiles = context.study, context.tiles
    train, held_out = context.rows("train"), context.rows("validation")
    count = study.memorization.tiles
    asked = {"copies": _some(context, "train")}
    if study.synthesis.variation is None:
        asked["control"] = _some(context, "validation")
    few = len(set(tiles.patients[train].tolist())) < 2 or not all(map(len, asked.values()))
    if not count or extractor is None or few or tiles.size[0] % CELLS:
        return None
    made = {name: _drawn(context, generator, rows, folder / f"{name}.npy") for name, rows in asked.items()}
    others = [TileSet.open(path) for path in context.also]
    learned = _training_tiles([(tiles, train), *((other, _trained_on(generator, other)) for other in others)])
    try:
        found = memorization(
            learned,
            made["copies"],
            Real(np.asarray(tiles.images[held_out]), tiles.patients[held_out]),
            control=made.get("control"),
            extractor=extractor,
            limit=count,
            seed=study.seed,
        )
    except InputError as error:
        _log.warning("the search for copies is left out: %s", error)
        return None
    write_array(folder / NEAREST, learned.images[[pair.train for pair in found.pairs]])
    own, compared = set(tiles.patients[train].tolist()), set(learned.patients.tolist())
    return {
        **found.scores,
        "pairs": [asdict(pair) for pair in found.pairs],
        "patients_of_start": len(compared - own),
        "patients_not_compared": len(set(generator.card.trained_on) - compared),
    }


def _trained_on(generator: Generator, other: TileSet) -> npt.NDArray[np.int64]:
    """Return the rows of the patients that a generator was trained on; warn if there are none."""
    rows = np.flatnonzero(np.isin(other.patients, generator.card.trained_on))
    if not len(rows):
        _log.warning(
            "memorization.also: %s has no tile of a patient that the generator was trained on", other.path
        )
    return rows


def _training_tiles(groups: Sequence[tuple[TileSet, npt.NDArray[np.int64]]]) -> Real:
    """Return the given rows of some TileSets, one after the other."""
    return Real(
        np.concatenate([np.asarray(tiles.images[rows]) for tiles, rows in groups]),
        np.concatenate([tiles.patients[rows] for tiles, rows in groups]),
    )


def _some(context: FitContext, part: Part) -> npt.NDArray[np.int64]:
    study = context.study
    return some_rows(study.seed, "copies", context.usable_rows(part), study.memorization.tiles)


def _drawn(context: FitContext, generator: Generator, rows: npt.NDArray[np.int64], kept: Path) -> Pixels:
    """Draw one tile for the class, mask and stain of each row, with the sampling of the pool."""
    if kept.exists():
        return np.asarray(np.load(kept))
    study, tiles = context.study, context.tiles
    plan = resolve_sampling(generator.card, **study.synthesis.sampling, variation=study.synthesis.variation)
    stain = slide_descriptors(tiles, rows)
    made = draw_like(generator, tiles, rows, plan, stain=stain, seed=study.seed, first=FIRST_INDEX)
    write_array(kept, made)
    return made


def pair_pictures(audit: dict[str, Any] | None, folder: Path) -> tuple[Pixels, Pixels] | None:
    """Return the synthetic tiles of the nearest pairs, turned to match, and their training tiles.

    None without pairs, and for pairs that an older version found.
    """
    if not audit or not audit["pairs"] or not (folder / NEAREST).exists():
        return None
    pairs = [replace(Pair(**pair), train=index) for index, pair in enumerate(audit["pairs"])]
    return pair_tiles(pairs, np.load(folder / MADE), np.load(folder / NEAREST))
