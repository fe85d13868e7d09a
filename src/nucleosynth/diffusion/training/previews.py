"""Preview grids during training: the same donors through the whole training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.generator import Generator
from nucleosynth.render.grid import grid, save_png, upscale
from nucleosynth.render.outlines import draw_outlines
from nucleosynth.seeds import rng

PREVIEW_TILES = 16


def save_preview(
    generator: Generator,
    tiles: TileSet,
    rows: npt.NDArray[np.int64],
    descriptors: npt.NDArray[np.float32],
    path: Path,
    seed: int,
) -> None:
    """Draw a grid of samples for fixed donors, followed by the same with the requested masks outlined."""
    chosen = np.sort(rng(seed, "preview").permutation(len(rows))[:PREVIEW_TILES])
    donors = rows[chosen]
    masks = np.asarray(tiles.masks[donors]) if generator.card.masks and tiles.masks is not None else None
    sampling = generator.card.recipe.preview_sampling
    made = generator.sample(
        tiles.labels[donors].tolist(), masks, stain=descriptors[chosen], seed=seed, **sampling
    )
    scale = max(1, 128 // generator.card.size)
    shown = np.asarray(upscale(made, scale), dtype=np.uint8)
    if masks is not None:
        shown = np.concatenate([shown, draw_outlines(made, masks, scale=scale)])
    save_png(path, grid(shown, columns=8))
