"""Augmentation of a classifier's training tiles: turns and stain jitter, and a strong form for one arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nucleosynth.data.stain import jitter_stain
from nucleosynth.seeds import rng

FACTOR_SPREAD, SHIFT_SPREAD = 0.2, 0.04
STRONG_JITTER = 2.0  # times the usual stain jitter
ZOOM = 0.25  # log of the largest zoom, in or out
SHIFT = 0.06  # largest shift, share of the edge
OFTEN = 0.3  # share of the tiles that are blurred, and of those that get noise
BLUR, NOISE = 1.2, 8.0  # largest sigma in px; grey levels
Pixels = npt.NDArray[np.uint8]


def augment(images: Pixels, seed: int, step: int, *, strength: float, strong: bool = False) -> Pixels:
    """Flip and rotate (n, h, w, 3) uint8 tiles at random and jitter their stain.

    Parameters
    ----------
    strength
        Strength of the stain jitter; 0 is off.
    strong
        Twice the jitter, and any angle, zoom, shift, blur and noise.
    """
    draw = rng(seed, "augment", step)
    turns = draw.integers(8, size=len(images))
    strength *= STRONG_JITTER if strong else 1.0
    factors = np.exp(strength * FACTOR_SPREAD * draw.standard_normal((len(images), 2)))
    shifts = strength * SHIFT_SPREAD * draw.standard_normal((len(images), 2))
    turned = turn_tiles(images, turns)
    stained = np.asarray(jitter_stain(turned, factors, shifts)) if strength else turned
    return distort(stained, rng(seed, "augment-strong", step)) if strong else stained


def turn_tiles(images: Pixels, turns: npt.NDArray[np.int64]) -> Pixels:
    """Apply one of the eight flips and rotations to each tile; tiles that are not square only flip."""
    result = np.empty_like(images)
    square = images.shape[1] == images.shape[2]
    for turn in range(8):
        chosen = turns == turn
        if chosen.any():
            quarter = turn % 4 if square else turn % 4 // 2 * 2
            turned = np.rot90(images[chosen], quarter, axes=(1, 2))
            result[chosen] = turned[:, :, ::-1] if turn >= 4 else turned
    return result


def distort(images: Pixels, draw: np.random.Generator) -> Pixels:
    """Rotate by any angle, zoom, shift, blur some and add noise to some; (n, h, w, 3) uint8.

    Areas outside the tile are filled with its mirror image.
    """
    count = len(images)
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    moved = F.grid_sample(
        pixels,
        F.affine_grid(_moves(draw, count), list(pixels.shape), align_corners=False),
        padding_mode="reflection",
        align_corners=False,
    )
    blurred, noisy = (torch.from_numpy(draw.random(count) < OFTEN) for _ in range(2))
    moved[blurred] = _blur(moved[blurred], float(draw.uniform(0.3, BLUR)))
    noise = torch.from_numpy(draw.standard_normal(moved.shape, dtype=np.float32))
    moved[noisy] += NOISE * noise[noisy]
    changed = moved.round().clamp(0, 255).to(torch.uint8)
    return np.asarray(changed.permute(0, 2, 3, 1).numpy())


def _moves(draw: np.random.Generator, count: int) -> Tensor:
    """Draw rotations, zooms and shifts as (count, 2, 3) matrices of normalised coordinates."""
    angle = draw.uniform(0, 2 * np.pi, count)
    zoom = np.exp(draw.uniform(-ZOOM, ZOOM, count))
    shift = draw.uniform(-2 * SHIFT, 2 * SHIFT, (count, 2))
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    rows: Any = [[cosine, -sine, shift[:, 0]], [sine, cosine, shift[:, 1]]]
    return torch.from_numpy(np.array(rows).transpose(2, 0, 1).astype(np.float32))


def _blur(pixels: Tensor, sigma: float) -> Tensor:
    """Blur (n, 3, h, w) with a Gaussian, mirrored at the border."""
    reach = int(np.ceil(2.5 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(pixels, (reach,) * 4, mode="reflect")
    across = F.conv2d(padded, kernel[:, :, None], groups=3)
    return F.conv2d(across, kernel[:, :, :, None], groups=3)
