"""How near drawn layouts are to the real masks that a model learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.evaluate.morphology import EVERY, distance_scores, samples
from nucleosynth.nuclei.morphology import nuclei_table, tile_table

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.layouts.dial import Dial
    from nucleosynth.layouts.model import LayoutModel

MEASURES = (
    "area_um2",
    "eccentricity",
    "solidity",
    "irregularity",
    "neighbour_um",
    "density_per_mm2",
    "anisonucleosis",
)
"""What masks alone tell."""

REPEATS = 4
"""Layouts drawn per real tile, so that the floor and not their number limits the distance."""


def compare_layouts(
    tiles: TileSet, model: LayoutModel, *, dial: Dial | None = None, repeats: int = REPEATS, seed: int = 0
) -> dict[str, Any]:
    """Compare layouts, drawn for each real tile of its class, with these tiles' own masks.

    Parameters
    ----------
    tiles
        Those that the model was fitted to; of others than its patients none is read.

    Returns
    -------
    dict
        By class (``all`` first) and measure, the scores of
        :func:`~nucleosynth.evaluate.morphology.distance_scores`: the floor is the distance between one of the
        patients and all others.

    Raises
    ------
    InputError
        Tiles of other classes or another scale, or none of the model's patients with a mask.
    """
    if tiles.classes != model.classes or tiles.mpp != model.mpp or tiles.size != model.size:
        raise InputError(
            f"{tiles.path}: classes {tiles.classes}, {tiles.size} px, {tiles.mpp} µm/px; expected those "
            f"of the model, {model.classes}, {model.size} px, {model.mpp:g} µm/px"
        )
    rows = tiles.rows_of(model.patients)
    rows = rows[tiles.has_mask[rows]]
    if tiles.masks is None or not len(rows):
        raise InputError(f"{tiles.path}: no tile of the model's patients carries a mask; name their TileSet")
    labels = tiles.labels[rows]
    again = np.tile(labels, repeats)
    drawn = model.draw(len(again), label=again.tolist(), dial=dial, seed=seed)
    nuclei = [nuclei_table(None, masks, mpp=model.mpp) for masks in (tiles.masks[rows], drawn)]
    real, made = (
        samples(table, tile_table(table), labels=names, patients=who)
        for table, names, who in zip(
            nuclei, (labels, again), (tiles.patients[rows], np.full(len(again), "")), strict=True
        )
    )
    return {
        name: {
            measure: distance_scores(real[measure].of_class(index), made[measure].of_class(index))
            for measure in MEASURES
        }
        for name, index in ((EVERY, None), *((name, c) for c, name in enumerate(tiles.classes)))
    }
