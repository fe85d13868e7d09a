"""Small phantom TileSets and studies for tests; cheap enough to make in every test that wants one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.tileset import TileSet, write_tileset

TINY_NETWORK = {"width": 16, "multipliers": [1, 2], "embedding": 32}


def phantom_tileset(path: Path, *, tiles: int = 48, patients: int = 8, size: int = 16) -> TileSet:
    """Make a phantom TileSet with masks and three classes."""
    config = PhantomConfig(tiles=tiles, patients=patients)
    rows = phantom_tiles(config, size=size, mpp=1.0)
    return write_tileset(path, rows, classes=CLASSES, ordinal=True)


def tiny_study(**changes: Any) -> dict[str, Any]:
    """Return the data of a study that runs in seconds: 16 px tiles, a network of a few thousand weights."""
    return {
        "name": "tiny",
        "data": {"reader": "phantom", "patients": 12, "tiles": 96},
        "tiles": {"size": 16, "mpp": 1.0},
        "split": {"fractions": [0.5, 0.2, 0.3]},
        "generator": {"steps": 6, "batch": 4, "network": TINY_NETWORK},
        "synthesis": {"tiles": 12, "labels": "balanced", "steps": 2, "batch": 4},
        "classifier": {
            "model": "test_resnet",
            "balance": "loss",
            "steps": 3,
            "batch": 8,
            "seeds": 2,
            "views": 1,
        },
        "arms": {"doses": [0.5], "controls": ["real", "synthetic-only"]},
        "fidelity": {"extractor": "none"},
        **changes,
    }
