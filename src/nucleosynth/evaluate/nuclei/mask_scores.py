"""Masks of whole TileSets: found by a segmenter, and scored by another one, the mask judge."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import Agreement, correct, mask_agreement
from nucleosynth.segmentation.segmenter import MASK_JUDGE, Segmenter, get_segmenter
from nucleosynth.segmentation.tilesets import find_nuclei, mask_segmenters

INSTANCE_SCORES: tuple[Literal["pq", "aji", "f1"], ...] = ("pq", "aji", "f1")


class Placed(TypedDict):
    """A score of synthetic tiles with its chance level and its ceiling; None as in `MaskScores`."""

    value: float | None
    chance: float | None
    ceiling: float | None
    ceiling_chance: float | None


class MaskScores(TypedDict):
    """Scores of how well nuclei found in synthetic tiles agree with the requested masks.

    ``kind`` is ``agreement`` if the masks of real tiles were annotated, else ``consistency``, which has no
    ceiling because the true nuclei are unknown. Measures are those of `corrected_agreement`, over pixels;
    ``instances`` holds those of `INSTANCE_SCORES`, nucleus by nucleus, by name.
    """

    judge: str
    weights_hash: str
    kind: Literal["agreement", "consistency"]
    n: int
    iou: float | None
    dice: float | None
    chance: float | None
    ceiling: float | None
    ceiling_chance: float | None
    corrected: float | None
    instances: dict[str, Placed]


Masked = tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.str_]]
"""Tiles (n, h, w, 3) uint8, their masks (n, h, w), and the patient of each (of the donor, if synthetic)."""


def tile_mask_scores(judge: Segmenter, synthetic: Masked, *, real: Masked | None, mpp: float) -> MaskScores:
    """Find the nuclei of synthetic tiles with the mask judge and compare them with the requested masks.

    Parameters
    ----------
    judge
        Segmenter that finds the nuclei; it must not have made the masks.
    real
        Held-out tiles with annotated masks, for the ceiling; None if masks were not annotated.
    mpp
        Scale of all tiles, µm/px.
    """
    images, asked, groups = synthetic
    made = mask_agreement(find_nuclei(judge, images, mpp), asked, groups=groups)
    best = None
    if real is not None:
        pictures, annotated, patients = real
        best = mask_agreement(find_nuclei(judge, pictures, mpp), annotated, groups=patients)
    corrected = None if best is None else correct(made, best)
    return {
        "judge": judge.name,
        "weights_hash": judge.weights_hash,
        "kind": "consistency" if real is None else "agreement",
        "n": len(images),
        "iou": made["iou"],
        "dice": made["dice"],
        "chance": made["chance"]["iou"],
        "ceiling": corrected and corrected["ceiling"],
        "ceiling_chance": corrected and corrected["ceiling_chance"],
        "corrected": corrected and corrected["corrected"],
        "instances": {name: _placed(name, made, best) for name in INSTANCE_SCORES},
    }


def _placed(name: Literal["pq", "aji", "f1"], made: Agreement, best: Agreement | None) -> Placed:
    return {
        "value": made[name],
        "chance": made["chance"][name],
        "ceiling": best and best[name],
        "ceiling_chance": best and best["chance"][name],
    }


def mask_scores(real: TileSet, synthetic: TileSet, *, judge: str = MASK_JUDGE) -> dict[str, Any]:
    """Compare the requested masks of synthetic tiles with the nuclei that the mask judge finds in them.

    The ceiling is measured on patients without donor tiles, if there are any.

    Parameters
    ----------
    real
        Tiles with masks.
    synthetic
        Tiles with their requested masks.
    judge
        Name of the segmenter that finds the nuclei; it must not have made the masks.

    Returns
    -------
    dict
        A `MaskScores`, and ``real_tiles`` and ``held_out`` (whether the ceiling is that of held-out
        patients).

    Raises
    ------
    InputError
        A TileSet without masks or scale, or a mask judge that made the masks.
    """
    segmenter = get_segmenter(judge)
    refuse_own_masks(segmenter, real, synthetic)
    asked = _masked_rows(synthetic, np.flatnonzero(synthetic.has_mask))
    if mask_segmenters(real) or mask_segmenters(synthetic):
        verdict = tile_mask_scores(segmenter, asked, real=None, mpp=synthetic.scale)
        return {**verdict, "real_tiles": 0, "held_out": None}
    held_out, rows = _ceiling_rows(real, asked[2])
    verdict = tile_mask_scores(segmenter, asked, real=_masked_rows(real, rows), mpp=synthetic.scale)
    return {**verdict, "real_tiles": len(rows), "held_out": held_out}


def refuse_own_masks(judge: Segmenter, *tilesets: TileSet) -> None:
    """Refuse a mask judge that made the masks of one of the TileSets."""
    for tiles in tilesets:
        if judge.weights_hash in mask_segmenters(tiles):
            raise InputError(
                f"{tiles.path}: mask judge `{judge.name}` made the masks that it would score; "
                "choose another segmenter"
            )


def _masked_rows(tiles: TileSet, rows: NDArray[np.int64]) -> Masked:
    if tiles.masks is None or not len(rows):
        raise InputError(f"{tiles.path}: no tile has a mask; add masks with `nucleosynth segment`")
    return np.asarray(tiles.images[rows]), np.asarray(tiles.masks[rows]), tiles.patients[rows]


def _ceiling_rows(real: TileSet, donors: NDArray[np.str_]) -> tuple[bool, NDArray[np.int64]]:
    held_out = np.flatnonzero(real.has_mask & ~np.isin(real.patients, donors))
    if len(held_out):
        return True, held_out.astype(np.int64)
    return False, np.flatnonzero(real.has_mask).astype(np.int64)
