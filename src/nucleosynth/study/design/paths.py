"""Where everything is fitted anew: whom each fit of a study may see, and where what it makes is kept."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.study.design.fits import Fit


def generator_folder(out: Path, fit: Fit, generator: int) -> Path:
    """Return where a generator of a fit is trained."""
    return out / fit.folder / f"generator-{generator}"


def pool_folder(out: Path, fit: Fit, generator: int) -> Path:
    """Return where the synthetic tiles of a generator are."""
    return out / fit.folder / f"synthetic-{generator}"


def selection_folder(out: Path, fit: Fit, generator: int, filter_name: str) -> Path:
    """Return where a filter keeps what it fitted and chose."""
    return out / fit.folder / f"selection-{generator}-{filter_name}"


def scores_folder(out: Path, fit: Fit, generator: int) -> Path:
    """Return where the scores of a generator on held-out patients are."""
    return out / fit.folder / f"judged-{generator}"
