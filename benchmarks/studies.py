"""Studies as benchmarks open them: tiles imported once, and their split."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.data.split import Split
from nucleosynth.data.split_rules import make_split
from nucleosynth.data.tileset import TileSet
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.run import data_root, study_tiles

HOME = Path(__file__).parents[1]
"""The checkout."""
RESULTS = HOME / "benchmarks" / "results"


def open_study(study: StudyConfig, run: Path) -> tuple[TileSet, Split]:
    """Import the tiles of a study below NUCLEOSYNTH_DATA into ``run/tiles`` once, and make its split."""
    root = data_root(None)
    tiles = study_tiles(study, run, root)
    return tiles, make_split(tiles, study.split, root)
