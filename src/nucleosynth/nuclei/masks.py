"""Masks of whole TileSets: found by a segmenter, and judged by another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tileset import Tile, TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import Agreement, correct, mask_agreement
from nucleosynth.nuclei.segmenter import JUDGE, MAKER, Segmenter, get_segmenter

BATCH = 64


def add_masks(tiles: TileSet, out: Path, *, backend: str = MAKER, replace: bool = False) -> TileSet:
    """Write a new TileSet whose every tile carries the nuclei a segmenter finds in it.

    The provenance remembers the segmenter, so that nobody lets it judge its own masks (`judge_masks`).

    Parameters
    ----------
    tiles
        TileSet of known scale.
    out
        Directory to make.
    backend
        Name of a segmenter.
    replace
        Whether masks that the tiles already carry may be replaced.

    Raises
    ------
    InputError
        The scale is unknown, tiles carry masks already, or no segmenter has that name.
    """
    segmenter = get_segmenter(backend)
    mpp = tiles.scale
    carried = int(tiles.has_mask.sum())
    if carried and not replace:
        raise InputError(
            f"{tiles.path}: {carried} of {len(tiles)} tiles carry masks already; "
            "allow their replacement (--replace) or use them as they are"
        )
    maker = {"name": segmenter.name, "weights_hash": segmenter.weights_hash, "tiles": tiles.content_hash}
    return write_tileset(
        out,
        _masked(tiles, segmenter, mpp),
        classes=tiles.classes,
        ordinal=tiles.ordinal,
        licence=str(tiles.info.get("licence", "")),
        provenance={**tiles.info.get("provenance", {}), "masks": maker},
    )


INSTANCE_SCORES: tuple[Literal["pq", "aji", "f1"], ...] = ("pq", "aji", "f1")


class Placed(TypedDict):
    """A score of synthetic tiles between its chance floor and its ceiling; None as in `Verdict`."""

    value: float | None
    floor: float | None
    ceiling: float | None
    ceiling_floor: float | None


class Verdict(TypedDict):
    """How well nuclei found in synthetic tiles agree with those asked for.

    ``kind`` is ``agreement`` where the masks of real tiles were annotated, else ``consistency``, which has no
    ceiling: nobody knows what is right. Measures are those of `corrected_agreement`, over pixels;
    ``instances`` holds those of `INSTANCE_SCORES`, nucleus by nucleus, by name.
    """

    judge: str
    weights_hash: str
    kind: Literal["agreement", "consistency"]
    n: int
    iou: float | None
    dice: float | None
    floor: float | None
    ceiling: float | None
    ceiling_floor: float | None
    corrected: float | None
    instances: dict[str, Placed]


Masked = tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.str_]]
"""Tiles (n, h, w, 3) uint8, their masks (n, h, w), and the patient of each (of the donor, if synthetic)."""


def judge_tiles(judge: Segmenter, synthetic: Masked, *, real: Masked | None, mpp: float) -> Verdict:
    """Find the nuclei of synthetic tiles again and compare them with the masks asked for.

    Parameters
    ----------
    judge
        Who finds the nuclei; it must not have made the masks.
    real
        Held-out tiles with annotated masks, for the ceiling; None where masks were not annotated.
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
        "floor": made["floor"]["iou"],
        "ceiling": corrected and corrected["ceiling"],
        "ceiling_floor": corrected and corrected["ceiling_floor"],
        "corrected": corrected and corrected["corrected"],
        "instances": {name: _placed(name, made, best) for name in INSTANCE_SCORES},
    }


def _placed(name: Literal["pq", "aji", "f1"], made: Agreement, best: Agreement | None) -> Placed:
    return {
        "value": made[name],
        "floor": made["floor"][name],
        "ceiling": best and best[name],
        "ceiling_floor": best and best["floor"][name],
    }


def judge_masks(real: TileSet, synthetic: TileSet, *, judge: str = JUDGE) -> dict[str, Any]:
    """Compare the masks that synthetic tiles were asked for with those a judge finds in them.

    The ceiling is taken on the patients who gave no donor, if there are any.

    Parameters
    ----------
    real
        Tiles with masks.
    synthetic
        Tiles with the masks they were asked for.
    judge
        Name of the segmenter that finds the nuclei again; it must not have made the masks.

    Returns
    -------
    dict
        A `Verdict`, and ``real_tiles`` and ``held_out`` (whether the ceiling is that of unseen patients).

    Raises
    ------
    InputError
        A TileSet without masks or scale, or a judge who made the masks.
    """
    segmenter = get_segmenter(judge)
    refuse_maker(segmenter, real, synthetic)
    asked = _masked_rows(synthetic, np.flatnonzero(synthetic.has_mask))
    if mask_makers(real) or mask_makers(synthetic):
        verdict = judge_tiles(segmenter, asked, real=None, mpp=synthetic.scale)
        return {**verdict, "real_tiles": 0, "held_out": None}
    held_out, rows = _ceiling_rows(real, asked[2])
    verdict = judge_tiles(segmenter, asked, real=_masked_rows(real, rows), mpp=synthetic.scale)
    return {**verdict, "real_tiles": len(rows), "held_out": held_out}


def find_nuclei(segmenter: Segmenter, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
    """Label the nuclei of (n, h, w, 3) uint8 tiles, a batch at a time: (n, h, w) int32.

    A memory map is read batch by batch.
    """
    starts = range(0, len(images), BATCH)
    return np.concatenate([segmenter(np.asarray(images[start : start + BATCH]), mpp) for start in starts])


def mask_makers(tiles: TileSet) -> set[str]:
    """Return the weights hashes of the segmenters behind masks; none of annotated or drawn ones."""
    return set(_makers(tiles.info.get("provenance", {})))


def _makers(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Walk through a provenance and those of what was merged."""
    maker = provenance.get("masks")
    if isinstance(maker, dict) and "weights_hash" in maker:
        yield maker["weights_hash"]
    for part in provenance.get("merged", ()):
        yield from _makers(part)


def refuse_maker(judge: Segmenter, *tilesets: TileSet) -> None:
    """Raise InputError where the judge made the masks of one of the TileSets."""
    for tiles in tilesets:
        if judge.weights_hash in mask_makers(tiles):
            raise InputError(
                f"{tiles.path}: judge `{judge.name}` made the masks it would judge; choose another segmenter"
            )


def _masked(tiles: TileSet, segmenter: Segmenter, mpp: float) -> Iterator[Tile]:
    for start in range(0, len(tiles), BATCH):
        rows = range(start, min(start + BATCH, len(tiles)))
        masks = segmenter(np.asarray(tiles.images[rows.start : rows.stop]), mpp)
        for tile, mask in zip(tiles.tiles(rows), masks, strict=True):
            yield with_changes(tile, mask=mask.astype(np.uint16))


def _masked_rows(tiles: TileSet, rows: NDArray[np.int64]) -> Masked:
    if tiles.masks is None or not len(rows):
        raise InputError(f"{tiles.path}: no tile carries a mask; add them with `nucleosynth segment`")
    return np.asarray(tiles.images[rows]), np.asarray(tiles.masks[rows]), tiles.patients[rows]


def _ceiling_rows(real: TileSet, donors: NDArray[np.str_]) -> tuple[bool, NDArray[np.int64]]:
    held_out = np.flatnonzero(real.has_mask & ~np.isin(real.patients, donors))
    if len(held_out):
        return True, held_out.astype(np.int64)
    return False, np.flatnonzero(real.has_mask).astype(np.int64)
