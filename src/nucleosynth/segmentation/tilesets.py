"""Segmentation of whole TileSets: nuclei found tile by tile and written as masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, Segmenter, get_segmenter

BATCH = 64


def add_masks(
    tiles: TileSet, out: Path, *, backend: str = DEFAULT_SEGMENTER, replace: bool = False
) -> TileSet:
    """Write a new TileSet with the nuclei that a segmenter finds as masks.

    The provenance records the segmenter, so that it never scores its own masks (`mask_scores`).

    Parameters
    ----------
    tiles
        TileSet of known scale.
    out
        Output directory, must not exist.
    backend
        Name of a segmenter.
    replace
        Whether existing masks may be replaced.

    Raises
    ------
    InputError
        The scale is unknown, tiles have masks already, or no segmenter has that name.
    """
    segmenter = get_segmenter(backend)
    mpp = tiles.scale
    carried = int(tiles.has_mask.sum())
    if carried and not replace:
        raise InputError(
            f"{tiles.path}: {carried} of {len(tiles)} tiles have masks already; "
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


def find_nuclei(segmenter: Segmenter, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
    """Label the nuclei of (n, h, w, 3) uint8 tiles, a batch at a time: (n, h, w) int32.

    A memory map is read batch by batch.
    """
    starts = range(0, len(images), BATCH)
    return np.concatenate([segmenter(np.asarray(images[start : start + BATCH]), mpp) for start in starts])


def mask_segmenters(tiles: TileSet) -> set[str]:
    """Return the weights hashes of the segmenters behind masks; none of annotated or drawn ones."""
    return set(_segmenters_of(tiles.info.get("provenance", {})))


def _segmenters_of(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield the segmenters of a provenance and of the TileSets merged into it."""
    maker = provenance.get("masks")
    if isinstance(maker, dict) and "weights_hash" in maker:
        yield maker["weights_hash"]
    for part in provenance.get("merged", ()):
        yield from _segmenters_of(part)


def _masked(tiles: TileSet, segmenter: Segmenter, mpp: float) -> Iterator[Tile]:
    for start in range(0, len(tiles), BATCH):
        rows = range(start, min(start + BATCH, len(tiles)))
        masks = segmenter(np.asarray(tiles.images[rows.start : rows.stop]), mpp)
        for tile, mask in zip(tiles.tiles(rows), masks, strict=True):
            yield with_changes(tile, mask=mask.astype(np.uint16))
