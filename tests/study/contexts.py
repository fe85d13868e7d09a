"""Fit contexts for tests of single stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.stages.context import FitContext


def fit_context(tiles: TileSet, patients: Fold, out: Path, *, fold: int = 0, **changes: Any) -> FitContext:
    """Return the context of one fit of a tiny study with some sections changed."""
    study = parse(StudyConfig, tiny_study(**changes))
    return FitContext(study, tiles, Fit(fold), patients, out, "cpu")
