"""Two images with their masks, the words that import them, and ways to spoil them."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image


def write_pairs(root: Path) -> None:
    """Write two images of 32 px and their binary masks."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    random = np.random.default_rng(0)
    for name in ("p1_a", "p2_a"):
        pixels = random.integers(100, 220, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        Image.fromarray(np.eye(32, dtype=np.uint8)).save(root / "masks" / f"{name}.png")


def paired(root: Path, **changes: object) -> list[str]:
    """Words that import the pairs."""
    settings = {"reader": "paired", "dataset": "d", "mask_kind": "binary", "mpp": 0.5, **changes}
    words = [f"--data.{key}={value}" for key, value in settings.items() if value is not None]
    out = root.parent / "tiles"
    return ["data", "import", "--data.root", str(root), "--tiles.size=16", *words, "--out", str(out)]


def picture(root: Path, array: np.ndarray) -> None:
    (root / "images" / "p1_a.png").write_bytes(imagecodecs.png_encode(array))


def mask(root: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(root / "masks" / "p1_a.png")
