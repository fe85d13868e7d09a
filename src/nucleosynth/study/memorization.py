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
from nucleosynth.diffusion.synthesis import draw_like
from nucleosynth.evaluate.audited import pair_tiles
from nucleosynth.evaluate.copies import CELLS
from nucleosynth.evaluate.features import Extractor
from nucleosynth.evaluate.memorization import Pair, Real, memorization
from nucleosynth.runs import write_array
from nucleosynth.seeds import some_rows
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

    As many are drawn for validation tiles: a tile is like the one whose mask it follows, also where the
    generator never saw that one. Variations have no such control: they are near their donor because they were
    made from it, and whoever shares them must know. The test patients are not looked at. Tiles are kept in
    ``folder`` as ``copies.npy`` and ``control.npy``.

    Returns
    -------
    The scores of `memorization` with ``pairs`` (rows of ``copies.npy`` and of the TileSet), and how many
    patients of a start, whose tiles are not here, were not compared; None where the study wants no audit, has
    no extractor for its fidelity, or has too little to tell: less than two training patients, or tiles of a
    size that does not fold.
    """
    train, held_out = tiles.rows_of(fold.train), tiles.rows_of(fold.validation)
    count = study.memorization.tiles
    asked = {"copies": _some(study, tiles, train)}
    if study.synthesis.variation is None:
        asked["control"] = _some(study, tiles, held_out)
    few = len(set(tiles.patients[train].tolist())) < 2 or not all(map(len, asked.values()))
    if not count or extractor is None or few or tiles.size[0] % CELLS:
        return None
    made = {
        name: _drawn(study, generator, tiles, rows, folder / f"{name}.npy") for name, rows in asked.items()
    }
    found = memorization(
        Real(np.asarray(tiles.images[train]), tiles.patients[train]),
        made["copies"],
        Real(np.asarray(tiles.images[held_out]), tiles.patients[held_out]),
        control=made.get("control"),
        extractor=extractor,
        limit=count,
        seed=study.seed,
    )
    pairs = [{**asdict(pair), "train": int(train[pair.train])} for pair in found.pairs]
    absent = len(set(generator.card.saw) - set(tiles.patients[train].tolist()))
    return {**found.scores, "pairs": pairs, "patients_not_compared": absent}


def _some(study: StudyConfig, tiles: TileSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    usable = usable_rows(tiles, rows, study.generator.recipe)
    return some_rows(study.seed, "copies", usable, study.memorization.tiles)


def _drawn(
    study: StudyConfig, generator: Generator, tiles: TileSet, rows: npt.NDArray[np.int64], kept: Path
) -> Pixels:
    """Draw one tile for each row, of its class, mask and stain, as the study's pool is drawn."""
    if kept.exists():
        return np.asarray(np.load(kept))
    stain = slide_descriptors(tiles, rows)
    made = draw_like(
        generator, tiles, rows, study.synthesis, stain=stain, seed=study.seed, first=FIRST_INDEX, vary=True
    )
    write_array(kept, made)
    return made


def pair_pictures(tiles: TileSet, audit: dict[str, Any] | None, kept: Path) -> tuple[Pixels, Pixels] | None:
    """Return the synthetic tiles of the nearest pairs, turned as they match, and their training tiles."""
    if not audit or not audit["pairs"] or not kept.exists():
        return None
    return pair_tiles([Pair(**pair) for pair in audit["pairs"]], np.load(kept), tiles.images)
