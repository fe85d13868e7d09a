"""Outlines of nuclei, drawn over tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.render.grid import Pixels, upscale

Masks = NDArray[np.integer]
Colour = tuple[int, int, int]

OUTLINE: Colour = (255, 236, 25)  # yellow: stands off from violet and pink, also without red-green vision
NUCLEUS: Colour = (176, 160, 204)
NUCLEUS_EDGE: Colour = (72, 48, 120)
PAPER: Colour = (250, 246, 248)


def outline_pixels(masks: Masks) -> NDArray[np.bool_]:
    """Find the one-pixel outlines of instances.

    A pixel belongs to an outline if a 4-neighbour inside the tile carries a smaller label. Outlines
    therefore lie inside the nuclei, touching nuclei share one line, and no line runs along the edge of
    the tile, where a nucleus is cut and not bounded.

    Parameters
    ----------
    masks : (n, h, w) integer
        Instance labels, 0 = background.

    Returns
    -------
    (n, h, w) bool
    """
    outline = np.zeros(masks.shape, bool)
    for axis in (1, 2):
        below = np.diff(masks.astype(np.int64), axis=axis) > 0  # the later pixel has the larger label
        above = np.diff(masks.astype(np.int64), axis=axis) < 0
        later = (slice(None),) * axis + (slice(1, None),)
        earlier = (slice(None),) * axis + (slice(None, -1),)
        outline[later] |= below
        outline[earlier] |= above
    return outline


def outline_layer(masks: Masks, *, color: Colour = OUTLINE, scale: int = 1) -> Pixels:
    """Return transparent pictures of the outlines alone, to lay over tiles.

    Parameters
    ----------
    masks : (n, h, w) integer
        Instance labels, 0 = background.
    color : (r, g, b)
        0 to 255.
    scale : int
        Enlargement; the outline stays 1 px thin on the enlarged picture.

    Returns
    -------
    (n, h*scale, w*scale, 4) uint8
    """
    outline = outline_pixels(_enlarged(masks, scale))
    layer = np.zeros((*outline.shape, 4), np.uint8)
    layer[outline] = (*color, 255)
    return layer


def draw_outlines(images: Pixels, masks: Masks, *, color: Colour = OUTLINE, scale: int = 1) -> Pixels:
    """Draw the outlines of nuclei on enlarged tiles.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        Tiles; they are not changed.
    masks : (n, h, w) integer
        Instance labels, 0 = background.
    color : (r, g, b)
        0 to 255.
    scale : int
        Enlargement, nearest neighbour. The outline stays 1 px thin on the enlarged picture, so that the
        texture of a 32 or 64 px tile remains visible.

    Returns
    -------
    (n, h*scale, w*scale, 3) uint8

    Raises
    ------
    InputError
        If masks and tiles differ in number or size.
    """
    if images.shape[:3] != masks.shape:
        raise InputError(f"outlines: tiles {images.shape[:3]} and masks {masks.shape} differ (n, h, w)")
    picture = np.array(upscale(images, scale), dtype=np.uint8)
    picture[outline_pixels(_enlarged(masks, scale))] = color
    return picture


def draw_masks(masks: Masks, *, scale: int = 1) -> Pixels:
    """Draw masks alone, as pale filled nuclei with a dark outline.

    Parameters
    ----------
    masks : (n, h, w) integer
        Instance labels, 0 = background.
    scale : int
        Enlargement, nearest neighbour.

    Returns
    -------
    (n, h*scale, w*scale, 3) uint8
    """
    enlarged = _enlarged(masks, scale)
    picture = np.empty((*enlarged.shape, 3), np.uint8)
    picture[:] = PAPER
    picture[enlarged > 0] = NUCLEUS
    picture[outline_pixels(enlarged)] = NUCLEUS_EDGE
    return picture


def _enlarged(masks: Masks, scale: int) -> Masks:
    masks = np.asarray(masks)
    if masks.ndim != 3 or not np.issubdtype(masks.dtype, np.integer):
        raise InputError(f"outlines: expected integer masks (n, h, w), got {masks.dtype} {masks.shape}")
    if scale < 1:
        raise InputError(f"outlines: scale must be a whole number >= 1, got {scale}")
    return np.asarray(upscale(masks, scale))
