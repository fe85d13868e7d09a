"""Data on which variants of `ablations` are compared, each with its scores.

On TNBC tiles are requested by masks of the validation patient and their nuclei found; on AMi-Br by class, and
the study's classifier of real tiles labels them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.class_condition import STUDY as AMIBR
from benchmarks.class_condition import draw
from benchmarks.class_scores import METRICS, Likeness
from benchmarks.contenders import OwnModel
from benchmarks.label_classifiers import train_label_classifiers
from benchmarks.quality import TileEvaluator
from benchmarks.studies import open_study, open_tnbc
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.generator import Generator
from nucleosynth.study.design.config import load_study

Scored = tuple[NDArray[np.uint8], dict[str, Any]]
"""Tiles (n, h, w, 3) and their scores."""


class Ground(Protocol):
    """Tiles, the fold with the training patients, and a way to score."""

    name: str
    tiles: TileSet
    fold: Fold

    def settings(self) -> dict[str, Any]:
        """Return the settings that two rows must share to be compared."""

    def score(self, generator: Generator, out: Path) -> Scored:
        """Draw tiles, or continue in or next to ``out``, and score them."""


class Tnbc:
    """TNBC, requested by masks: agreement, KID and coverage."""

    name = "TNBC"

    def __init__(self, run: Path, *, samples: int, seed: int) -> None:
        self.tiles, split = open_tnbc(run)
        self.fold = split.folds[0]
        self._judge = TileEvaluator(self.tiles, self.fold, "validation", samples=samples, seed=seed)

    def settings(self) -> dict[str, Any]:
        """See `Ground`."""
        return self._judge.settings()

    def score(self, generator: Generator, out: Path) -> Scored:
        """See `Ground`."""
        made, seconds = self._judge.draw(OwnModel(generator), {}, weights=generator.generator_id, out=out)
        return made, {"sample_seconds": seconds, **self._judge.scores(made)}


class AmiBr:
    """AMi-Br, requested by classes, equally many: labels by classifiers of real tiles, KID and coverage."""

    name = "AMi-Br"

    def __init__(self, run: Path, *, samples: int, seed: int) -> None:
        study = load_study(AMIBR)
        self.tiles, split = open_study(study, run)
        self.fold = split.folds[0]
        self.samples, self.seed = samples, seed
        self._classifiers = train_label_classifiers(
            study, self.tiles, self.fold, seeds=3, run=run / "classifiers", device="cpu"
        )
        self._likeness = Likeness(self.tiles, self.fold, seed=seed)

    def settings(self) -> dict[str, Any]:
        """See `Ground`."""
        real = self._classifiers.real("validation").scores()
        extractor = self._likeness.extractor
        return {
            "samples": self.samples,
            "seed": self.seed,
            "extractor": f"{extractor.name} {extractor.weights_hash}",
            "classifier_weights": self._classifiers.weights,
            "real": {metric: real[metric]["value"] for metric in METRICS},
        }

    def score(self, generator: Generator, out: Path) -> Scored:
        """See `Ground`."""
        made = draw(generator, self.tiles, guidance=1.0, samples=self.samples, seed=self.seed, run=out.parent)
        every = self._likeness.scores(made)["all"]
        labels = self._classifiers.predict(made).scores()
        return np.asarray(made.images), {
            "labels": {metric: labels[metric] for metric in METRICS},
            "fidelity": every["fidelity"],
            "coverage": every["coverage"],
        }


GROUNDS: dict[str, type[Tnbc] | type[AmiBr]] = {"tnbc": Tnbc, "amibr": AmiBr}
