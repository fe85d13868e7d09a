"""Studies as benchmarks open them: tiles imported once, and their split."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.data.split import Split
from nucleosynth.data.split_rules import make_split
from nucleosynth.data.tileset import TileSet
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.study.run import data_root, study_tiles

HOME = Path(__file__).parents[1]
"""The checkout."""
RESULTS = HOME / "benchmarks" / "results"
TNBC, TNBC_UM = HOME / "studies" / "tnbc.yaml", 32.0
"""The study of TNBC, and the side of its tiles in µm."""


def open_study(study: StudyConfig, run: Path) -> tuple[TileSet, Split]:
    """Import the tiles of a study below NUCLEOSYNTH_DATA into ``run/tiles`` once, and make its split."""
    root = data_root(None)
    tiles = study_tiles(study, run, root)
    return tiles, make_split(tiles, study.split, root)


def open_tnbc(run: Path, *, size: int = 64) -> tuple[TileSet, Split]:
    """Import the tiles of studies/tnbc.yaml once, 32 µm of any ``size`` in pixels, and read its split."""
    tiles = {"tiles.size": str(size), "tiles.mpp": str(TNBC_UM / size)}
    return open_study(load_study(TNBC, tiles), run)
