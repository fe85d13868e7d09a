"""Drawn tissue for the tests of segmenters: discs with exact labels, and files of annotated pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

PINK, VIOLET = np.array([232, 190, 214]), np.array([92, 62, 138])


def disc_labels(
    centres: list[tuple[float, float]], *, radius: float, size: int = 64, mpp: float = 0.5
) -> np.ndarray:
    """Label image of discs; centres and radius in µm. Where discs overlap, the nearer centre wins."""
    y, x = (np.mgrid[:size, :size] + 0.5) * mpp
    distance = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres])
    return np.where(distance.min(0) < radius, distance.argmin(0) + 1, 0).astype(np.int32)


def painted(labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Violet nuclei on pink, with a little noise."""
    noise = np.random.default_rng(seed).normal(scale=3, size=(*labels.shape, 3))
    return (np.where(labels[..., None] > 0, VIOLET, PINK) + noise).clip(0, 255).astype(np.uint8)


def scattered(seed: int, *, count: int, side: float) -> list[tuple[float, float]]:
    """Centres at random in a square of ``side`` µm."""
    return [tuple(place) for place in np.random.default_rng(seed).uniform(0, side, (count, 2))]


def write_pictures(root: Path, pictures: dict[str, np.ndarray]) -> None:
    """Write label images and the tissue painted from them as ``images`` and ``masks`` below ``root``."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, (name, labels) in enumerate(pictures.items()):
        Image.fromarray(painted(labels, seed=index)).save(root / "images" / f"{name}.png")
        Image.fromarray(labels.astype(np.uint16)).save(root / "masks" / f"{name}.png")
