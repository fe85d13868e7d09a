"""Preview a generator without any data: the same drawn nuclei in several stains, or classes."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from nucleosynth.arguments import as_int, as_path
from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.sampling.plan import SamplingRequest
from nucleosynth.render.grid import grid
from nucleosynth.render.outlines import draw_masks

USUAL_MPP = 0.5
STAINS = (
    (2.5, 3.7, -4.0, -1.2, 4.0, -3.8),
    (3.2, 2.0, -7.5, 1.2, 1.6, -7.0),
    (3.9, 5.8, -11.8, 4.0, 4.7, -12.7),
    (0.6, 3.6, -0.6, -2.1, 2.8, -1.1),
)
"""Stains as of `stain_descriptor`: k-means centres over the training tiles of the tissue prior."""
Pixels = npt.NDArray[np.uint8]
Descriptor = npt.NDArray[np.float32]


def preview(
    generator: Generator | str | Path,
    *,
    columns: int = 8,
    stains: int = 4,
    seed: int = 0,
    **sampling: Unpack[SamplingRequest],
) -> Pixels:
    """Draw tiles for the nuclei of phantom tissue, in typical stains.

    Parameters
    ----------
    generator
        A generator, or where it is, as `Generator.from_pretrained` takes it.
    columns
        Number of nuclei layouts, one per column.
    stains
        Number of `STAINS`, one per row; a generator with classes shows each class in the first stain instead.
    sampling
        As for `Generator.sample`.

    Returns
    -------
    (h, w, 3) uint8: the requested nuclei above, if the generator reads masks, and the tiles below.

    Raises
    ------
    InputError
        No generator there, or a number out of range.
    """
    if not isinstance(generator, Generator):
        generator = Generator.from_pretrained(as_path(generator, "generator"))
    columns, seed = as_int(columns, "columns", least=1, most=1000), as_int(seed, "seed")
    stains = as_int(stains, "stains", least=1, most=len(STAINS))
    card = generator.card
    mpp = card.mpp or USUAL_MPP
    drawn = list(
        phantom_tiles(PhantomConfig(tiles=columns, patients=columns, seed=seed), size=card.size, mpp=mpp)
    )
    masks = np.stack([tile.mask for tile in drawn if tile.mask is not None]).astype(np.int32)
    stained = [np.array(stain, np.float32) for stain in STAINS[:stains]]
    classes = card.seen if card.seen is not None else list(range(len(card.classes)))
    if card.recipe.reads_classes and classes:
        rows: list[tuple[int | None, Descriptor]] = [(label, stained[0]) for label in classes]
    else:
        rows = [(None, stain) for stain in stained]
    made = [
        generator.sample(
            labels=[label] * columns,
            masks=masks if card.masks else None,
            stain=stain if card.recipe.conditioned else None,
            seed=seed,
            indices=range(columns),
            **sampling,
        )
        for label, stain in rows
    ]
    above = [draw_masks(masks)] if card.masks else []
    return grid(np.concatenate([*above, *made]), columns=columns, scale=max(1, 128 // card.size))
