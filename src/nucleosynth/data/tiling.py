"""Cut frames into tiles: a grid without overlap, one common µm/px, a tissue filter.

Images are resampled with anti-aliasing, labels to the nearest pixel; a tile inherits its frame's class, and a
nucleus cut by the border keeps the part inside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from nucleosynth.config import Config
from nucleosynth.data.grid import Grid, blocks, lay_grid, renumber, resample_image, resample_labels
from nucleosynth.data.prefetch import ordered_map
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MPP_RANGE = (0.05, 10.0)  # µm/px: beyond both ends of what slide scanners make
MAX_ENLARGEMENT = 2.0  # more would be invented detail
MIN_TISSUE = 0.05  # share of pixels

Pixels = tuple["NDArray[np.uint8]", "NDArray[np.int32] | None"]

log = logging.getLogger(__name__)


def check_mpp(value: float) -> float:
    """Return a resolution in µm/px; raise ValueError if it is impossible for a scanner."""
    low, high = MPP_RANGE
    if not low <= value <= high:  # also refuses nan
        raise ValueError(f"mpp must be µm per pixel in {low}-{high:g}; 0.25 is usual at x40, 0.5 at x20")
    return value


def _check_mpp_or_text(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    return check_mpp(value) if isinstance(value, (int, float)) else value


def _check_target(value: object) -> object:
    if isinstance(value, str) and value != "unknown":
        raise ValueError("expected µm per pixel, such as 0.5, or `unknown`")
    return _check_mpp_or_text(value)


# Checked before the type, so that a message names the field and not a branch of the union.
SourceMpp = Annotated[float | None, BeforeValidator(_check_mpp_or_text)]
MppOrColumn = Annotated[float | str | None, BeforeValidator(_check_mpp_or_text)]
TargetMpp = Annotated[float | Literal["unknown"] | None, BeforeValidator(_check_target)]


class TilesConfig(Config):
    """Section ``tiles`` of a study: the tiles that are cut out of frames."""

    size: int = Field(64, ge=16, description="edge of a tile in px at `mpp`")
    mpp: TargetMpp = Field(
        None, description="target µm/px; left out: as the source; `unknown`: no scale, never resampled"
    )
    min_tissue: float | None = Field(
        None,
        ge=0,
        le=1,
        description="drop tiles whose share of tissue is below; left out: 0.05 where a frame gives several "
        "tiles, 0 where it gives one",
    )
    place: Literal["grid", "centre"] = Field(
        "grid", description="`grid`: all tiles that fit, the grid centred; `centre`: the one in the middle"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One source image, not yet decoded: what a reader knows of it.

    ``read`` returns the pixels, (h, w, 3) uint8, and the nuclei, (h, w) int32 or None; ``annotated`` tells
    beforehand whether there are any. ``mpp`` is their scale in µm/px. Ids are ``<dataset>:<id>``; ``path``
    names the frame in messages.
    """

    frame_id: str
    patient_id: str
    read: Callable[[], Pixels]
    path: Path
    annotated: bool = False
    mpp: float | None = None
    slide_id: str | None = None
    patient_known: bool = True
    label: int | None = None
    ratings: tuple[Rating, ...] = ()
    scanner: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def tile_frames(frames: Iterable[Frame], tiles: TilesConfig, *, workers: int | None = None) -> Iterator[Tile]:
    """Decode frames in threads and yield their tiles, in the order of the frames, row by row.

    Everything that is known without decoding is checked before the first tile.

    Raises
    ------
    InputError
        A frame without µm/px, with an absurd one, to be enlarged more than twofold, or smaller than a tile;
        frames of different µm/px without a target; no tile with enough tissue; what decoding finds.
    """
    listed = list(frames)
    target = _target_mpp(listed, tiles)
    possible = kept = 0
    for count, found in ordered_map(partial(_cut, tiles=tiles, target=target), listed, workers=workers):
        possible += count
        kept += len(found)
        yield from found
    if possible and not kept:
        raise InputError(f"none of {possible} tiles reaches the tissue share tiles.min_tissue; lower it")
    log.info("%d frames gave %d tiles; %d left out for want of tissue", len(listed), kept, possible - kept)


def _target_mpp(frames: Sequence[Frame], tiles: TilesConfig) -> float | None:
    """Decide the µm/px of all tiles, None where it is declared unknown."""
    if tiles.mpp == "unknown":
        return None
    known = [_frame_mpp(frame) for frame in frames]
    if tiles.mpp is None:
        if len(set(known)) > 1:
            some = ", ".join(f"{value:g}" for value in sorted(set(known))[:4])
            raise InputError(f"the frames differ in µm/px ({some}); give tiles.mpp, one scale for all tiles")
        return known[0] if known else None
    for frame, mpp in zip(frames, known, strict=True):
        if mpp > MAX_ENLARGEMENT * tiles.mpp * (1 + 1e-9):
            raise InputError(
                f"{frame.path}: {mpp:g} µm/px would be enlarged {mpp / tiles.mpp:.1f} times to "
                f"{tiles.mpp:g}; more than {MAX_ENLARGEMENT:g} times invents detail: "
                f"give tiles.mpp of {mpp / MAX_ENLARGEMENT:g} or more"
            )
    return tiles.mpp


def _frame_mpp(frame: Frame) -> float:
    if frame.mpp is None:
        raise InputError(f"{frame.path}: mpp missing; give data.mpp in µm/px, or tiles.mpp unknown")
    try:
        return check_mpp(frame.mpp)
    except ValueError as error:
        raise InputError(f"{frame.path}: {error} (got {frame.mpp:g})") from None


def _cut(frame: Frame, *, tiles: TilesConfig, target: float | None) -> tuple[int, list[Tile]]:
    """Return how many tiles the grid has, and those with enough tissue."""
    image, mask = frame.read()
    scale = 1.0 if target is None or frame.mpp is None else frame.mpp / target
    grid = lay_grid((image.shape[0], image.shape[1]), tiles.size, scale=scale, place=tiles.place)
    count = grid.rows * grid.columns
    if count == 0:
        at = "" if target is None else f" at {target:g} µm/px"
        raise InputError(
            f"{frame.path}: {image.shape[1]} x {image.shape[0]} px is {image.shape[1] * scale:.0f} x "
            f"{image.shape[0] * scale:.0f} px{at}, less than a tile of {tiles.size} px; choose a smaller size"
        )
    images = blocks(resample_image(image, grid), grid)
    masks = None if mask is None else blocks(resample_labels(mask, grid), grid)
    chosen = np.flatnonzero(_enough_tissue(images, tiles.min_tissue))
    return count, [_tile(frame, grid, int(i), image=images[i], masks=masks, mpp=target) for i in chosen]


def _tile(
    frame: Frame,
    grid: Grid,
    index: int,
    *,
    image: NDArray[np.uint8],
    masks: NDArray[np.int32] | None,
    mpp: float | None,
) -> Tile:
    row, column = divmod(index, grid.columns)
    x, y = grid.corner(row, column)
    alone = grid.rows * grid.columns == 1
    return Tile(
        tile_id=frame.frame_id if alone else f"{frame.frame_id}/r{row:02d}c{column:02d}",
        image=np.ascontiguousarray(image),
        mask=None if masks is None else renumber(masks[index]),
        patient_id=frame.patient_id,
        patient_known=frame.patient_known,
        slide_id=frame.slide_id,
        frame_id=frame.frame_id,
        label=frame.label,
        ratings=frame.ratings,
        scanner=frame.scanner,
        x=x,
        y=y,
        source_mpp=frame.mpp,
        mpp=mpp,
        extra=frame.extra,
    )


def _enough_tissue(images: NDArray[np.uint8], wanted: float | None) -> NDArray[np.bool_]:
    if wanted is None:
        wanted = MIN_TISSUE if len(images) > 1 else 0.0
    if wanted == 0:
        return np.ones(len(images), bool)
    from nucleosynth.data.stain import tissue_fraction

    return np.array([tissue_fraction(image) >= wanted for image in images])
