"""Comparison of drawn layouts with real masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.morphology import EVERY, distance_scores, samples
from nucleosynth.nuclei.morphology import nuclei_table, tile_table

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.layouts.atypia import Dial
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
"""Measures that need masks alone."""

REPEATS = 4
"""Layouts drawn per real tile: enough that their number does not limit the distance."""


def compare_layouts(
    tiles: TileSet, model: LayoutModel, *, dial: Dial | None = None, repeats: int = REPEATS, seed: int = 0
) -> dict[str, Any]:
    """Compare layouts, drawn for the class of each real tile, with the masks of these tiles.

    Parameters
    ----------
    tiles
        Tiles to which the model was fitted; only tiles of its patients are read.

    Returns
    -------
    dict
        By class (``all`` first) and measure, the scores of `morphology.distance_scores`: the reference is the
        distance between one patient and all others.

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
        raise InputError(f"{tiles.path}: no tile of the model's patients has a mask; name their TileSet")
    again = np.tile(tiles.labels[rows], repeats)
    drawn = model.draw(len(again), label=again.tolist(), dial=dial, seed=seed)
    return compare_masks(tiles, rows, drawn, labels=again)


def compare_masks(
    tiles: TileSet, rows: NDArray[np.int64], drawn: NDArray[np.integer], *, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Compare masks from any source with those of real tiles.

    Parameters
    ----------
    tiles
        With masks and a known scale.
    rows : (k,)
        The real tiles to compare with.
    drawn : (n, h, w) integer
        Instances, 0 = background; of the tiles' size and scale.
    labels : (n,)
        Class of each drawn mask, -1 = none.

    Returns
    -------
    dict
        As from :func:`compare_layouts`.

    Raises
    ------
    InputError
        Unknown scale, a real tile without a mask, masks of another size, or not one label each.
    """
    mpp = tiles.scale
    if tiles.masks is None or not len(rows) or not tiles.has_mask[rows].all():
        raise InputError(f"{tiles.path}: not every tile to compare with has a mask; choose those that do")
    if drawn.shape != (len(labels), *tiles.size):
        raise InputError(f"drawn masks of shape {drawn.shape}; expected {(len(labels), *tiles.size)}")
    nuclei = [nuclei_table(None, masks, mpp=mpp) for masks in (tiles.masks[rows], drawn)]
    real, made = (
        samples(table, tile_table(table), labels=names, patients=ids)
        for table, names, ids in zip(
            nuclei,
            (tiles.labels[rows], labels),
            (tiles.patients[rows], np.full(len(labels), "")),
            strict=True,
        )
    )
    return {
        name: {
            measure: distance_scores(real[measure].of_class(index), made[measure].of_class(index))
            for measure in MEASURES
        }
        for name, index in ((EVERY, None), *((name, c) for c, name in enumerate(tiles.classes)))
    }
