"""Whether a study's generator copies its training tiles: asked where it would be likeliest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.batches import slide_descriptors, usable_rows
from nucleosynth.diffusion.generator import Generator
from nucleosynth.evaluate.copies import CELLS, turned
from nucleosynth.evaluate.features import Extractor
from nucleosynth.evaluate.memorization import Real, memorization
from nucleosynth.runs import write_array
from nucleosynth.seeds import rng
from nucleosynth.study.protocol import StudyConfig

FIRST_INDEX = 20_000_000  # apart from those of the pool and of the tiles for held-out patients
Pixels = npt.NDArray[np.uint8]


def audit_generator(
    study: StudyConfig,
    generator: Generator,
    tiles: TileSet,
    fold: Fold,
    *,
    extractor: Extractor | None,
    folder: Path,
) -> dict[str, Any] | None:
    """Look for copies of training tiles among tiles drawn for their own class, mask and stain.

    What chance makes alike is read off the validation patients; the test patients are not looked at. The
    tiles are kept in ``folder/copies.npy``.

    Returns
    -------
    The scores of `memorization` with ``pairs`` (rows of ``copies.npy`` and of the TileSet), and how many
    patients of a start, whose tiles are not here, were not compared; None where the study wants no audit or
    has too little to tell: less than two training patients, or tiles of a size that does not fold.
    """
    train = tiles.rows_of(fold.train)
    usable = usable_rows(tiles, train, study.generator.recipe)
    count = study.memorization.tiles
    few = len(set(tiles.patients[train].tolist())) < 2 or not len(usable) or tiles.size[0] % CELLS
    if not count or extractor is None or few:
        return None
    rows = np.sort(rng(study.seed, "copies").permutation(usable)[:count])
    made = _drawn(study, generator, tiles, rows, folder / "copies.npy")
    held_out = tiles.rows_of(fold.validation)
    found = memorization(
        Real(np.asarray(tiles.images[train]), tiles.patients[train]),
        made,
        Real(np.asarray(tiles.images[held_out]), tiles.patients[held_out]),
        extractor=extractor,
        limit=count,
        seed=study.seed,
    )
    pairs = [{**asdict(pair), "train": int(train[pair.train])} for pair in found.pairs]
    absent = len(set(generator.card.saw) - set(tiles.patients[train].tolist()))
    return {**found.scores, "pairs": pairs, "patients_not_compared": absent}


def _drawn(
    study: StudyConfig, generator: Generator, tiles: TileSet, rows: npt.NDArray[np.int64], kept: Path
) -> Pixels:
    """Draw one tile for each training row, of its class, mask and stain, as the study's pool is drawn."""
    if kept.exists():
        return np.asarray(np.load(kept))
    synthesis = study.synthesis
    masks = np.asarray(tiles.masks[rows]) if generator.card.masks and tiles.masks is not None else None
    made = generator.sample(
        tiles.labels[rows].tolist(),
        masks,
        stain=slide_descriptors(tiles, rows),
        steps=synthesis.steps,
        guidance=synthesis.weights,
        guidance_interval=synthesis.guidance_interval,
        sampler=synthesis.sampler,
        sigma_scale=synthesis.sigma_scale,
        seed=study.seed,
        indices=[FIRST_INDEX + int(row) for row in rows],
    )
    write_array(kept, made)
    return made


def pair_pictures(tiles: TileSet, audit: dict[str, Any] | None, kept: Path) -> tuple[Pixels, Pixels] | None:
    """Return the synthetic tiles of the nearest pairs, turned as they match, and their training tiles."""
    if not audit or not audit["pairs"] or not kept.exists():
        return None
    made, pairs = np.load(kept), audit["pairs"]
    synthetic = np.concatenate([turned(made[[pair["synthetic"]]], pair["turn"]) for pair in pairs])
    return synthetic, np.asarray(tiles.images[[pair["train"] for pair in pairs]])
