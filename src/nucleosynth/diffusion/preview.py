"""A look at a generator without any data: the same drawn nuclei in several stains, or classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.phantom import PhantomConfig, phantom_tiles
from nucleosynth.data.stain import stain_descriptor
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.recipes import RECIPES
from nucleosynth.render.grid import grid
from nucleosynth.render.outlines import draw_masks

USUAL_MPP = 0.5
TILES_PER_STAIN = 6
Pixels = npt.NDArray[np.uint8]
Descriptor = npt.NDArray[np.float32]


def preview(
    generator: Generator, *, columns: int = 8, stains: int = 4, seed: int = 0, **sampling: Any
) -> Pixels:
    """Draw tiles for the nuclei of phantom tissue, in the stains of phantom patients.

    Parameters
    ----------
    columns
        Nuclei layouts, side by side.
    stains
        Stains, below each other; a generator of classes shows each class in one of them instead.
    sampling
        As `Generator.sample` takes it.

    Returns
    -------
    (h, w, 3) uint8: the nuclei asked for above, where the generator reads masks, and the tiles below.
    """
    card = generator.card
    recipe = RECIPES[card.recipe]
    mpp = card.mpp or USUAL_MPP
    drawn = list(
        phantom_tiles(PhantomConfig(tiles=columns, patients=columns, seed=seed), size=card.size, mpp=mpp)
    )
    masks = np.stack([tile.mask for tile in drawn if tile.mask is not None]).astype(np.int32)
    told = _stains(stains, size=card.size, mpp=mpp, seed=seed)
    classes = card.seen if card.seen is not None else list(range(len(card.classes)))
    if (recipe.conditioned or recipe.per_class) and classes:
        rows: list[tuple[int | None, Descriptor]] = [(label, told[0]) for label in classes]
    else:
        rows = [(None, stain) for stain in told]
    made = [
        generator.sample(
            labels=[label] * columns,
            masks=masks if card.masks else None,
            stain=stain if recipe.conditioned else None,
            seed=seed,
            indices=range(columns),
            **sampling,
        )
        for label, stain in rows
    ]
    above = [draw_masks(masks)] if card.masks else []
    return grid(np.concatenate([*above, *made]), columns=columns, scale=max(1, 128 // card.size))


def _stains(count: int, *, size: int, mpp: float, seed: int) -> list[Descriptor]:
    """Return the descriptors of some phantom patients."""
    config = PhantomConfig(tiles=count * TILES_PER_STAIN, patients=count, seed=seed)
    images = np.stack([tile.image for tile in phantom_tiles(config, size=size, mpp=mpp)])
    return [stain_descriptor(images[patient::count]) for patient in range(count)]
