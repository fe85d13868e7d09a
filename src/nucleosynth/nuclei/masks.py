"""Masks of whole TileSets: found by a segmenter, and judged by another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.tileset import Tile, TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import corrected_agreement, mask_agreement
from nucleosynth.nuclei.segmenter import Segmenter, get_segmenter

BATCH = 64


def add_masks(tiles: TileSet, out: Path, *, backend: str = "classical", replace: bool = False) -> TileSet:
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
    mpp = _scale(tiles)
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


def judge_masks(real: TileSet, synthetic: TileSet, *, judge: str = "classical") -> dict[str, Any]:
    """Compare the masks that synthetic tiles were asked for with those a judge finds in them.

    Where the masks of real tiles were annotated, the judge's agreement with them is the ceiling; it is taken
    on the patients who gave no donor, if there are any. Where a segmenter made them there is no ceiling, and
    the score is called consistency.

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
        ``judge``, ``weights_hash``, ``synthetic_tiles`` and either ``consistency`` (of `mask_agreement`) or
        ``agreement`` (of `corrected_agreement`), ``real_tiles`` and ``held_out``.

    Raises
    ------
    InputError
        A TileSet without masks or scale, or a judge who made the masks.
    """
    segmenter = get_segmenter(judge)
    makers = [_maker(real), _maker(synthetic)]
    if segmenter.weights_hash in makers:
        raise InputError(f"judge `{judge}` made the masks it would judge; choose another segmenter")
    rows = np.flatnonzero(synthetic.has_mask)
    asked, found = _pairs(synthetic, rows, segmenter)
    result: dict[str, Any] = {
        "judge": segmenter.name,
        "weights_hash": segmenter.weights_hash,
        "synthetic_tiles": len(rows),
    }
    donors = synthetic.patients[rows]
    if any(makers):
        return {**result, "consistency": mask_agreement(found, asked, groups=donors)}
    held_out, real_rows = _ceiling_rows(real, donors)
    annotated, refound = _pairs(real, real_rows, segmenter)
    agreement = corrected_agreement(
        found,
        asked,
        real_predicted=refound,
        real_true=annotated,
        synthetic_groups=donors,
        real_groups=real.patients[real_rows],
    )
    return {**result, "real_tiles": len(real_rows), "held_out": held_out, "agreement": agreement}


def _masked(tiles: TileSet, segmenter: Segmenter, mpp: float) -> Iterator[Tile]:
    for start in range(0, len(tiles), BATCH):
        rows = range(start, min(start + BATCH, len(tiles)))
        masks = segmenter(np.asarray(tiles.images[rows.start : rows.stop]), mpp)
        for tile, mask in zip(tiles.tiles(rows), masks, strict=True):
            yield with_changes(tile, mask=mask.astype(np.uint16))


def _pairs(
    tiles: TileSet, rows: npt.NDArray[np.int64], segmenter: Segmenter
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Masks that tiles carry and masks that the segmenter finds in them, (k, h, w) int32 each."""
    if tiles.masks is None or not len(rows):
        raise InputError(f"{tiles.path}: no tile carries a mask; add them with `nucleosynth segment`")
    mpp = _scale(tiles)
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    found = np.concatenate([segmenter(np.asarray(tiles.images[batch]), mpp) for batch in batches])
    return np.asarray(tiles.masks[rows], dtype=np.int32), found


def _ceiling_rows(real: TileSet, donors: npt.NDArray[np.str_]) -> tuple[bool, npt.NDArray[np.int64]]:
    held_out = np.flatnonzero(real.has_mask & ~np.isin(real.patients, donors))
    if len(held_out):
        return True, held_out.astype(np.int64)
    return False, np.flatnonzero(real.has_mask).astype(np.int64)


def _maker(tiles: TileSet) -> str | None:
    """Return the weights hash of the segmenter behind a TileSet's masks; None for annotated or drawn ones."""
    masks = tiles.info.get("provenance", {}).get("masks") or {}
    return masks.get("weights_hash") if isinstance(masks, dict) else None


def _scale(tiles: TileSet) -> float:
    if tiles.mpp is None:
        raise InputError(
            f"{tiles.path}: its µm/px is unknown; nuclei are found by size, so import it with `mpp`"
        )
    return tiles.mpp
