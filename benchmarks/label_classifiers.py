"""Classifiers trained on real training tiles alone, and their labels of real and synthetic tiles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.class_scores import Labelled, labelled_rows
from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.mixture import TrainingSet
from nucleosynth.classify.scoring import load_classifier, predict
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.files import read_json
from nucleosynth.study.design.config import StudyConfig

PARTS = ("validation", "train")
"""Parts of the split whose real tiles are labelled."""


@dataclass(frozen=True)
class LabelClassifiers:
    """Several training seeds of one classifier, trained on the real training tiles of a fold."""

    runs: tuple[Path, ...]
    config: ClassifierConfig
    tiles: TileSet
    fold: Fold
    device: str

    @property
    def thresholds(self) -> list[float | None]:
        """Threshold of each seed, chosen on the validation patients."""
        return [read_json(run / "result.json")["threshold"] for run in self.runs]

    @property
    def weights(self) -> list[str]:
        """Hash of the weights of each seed."""
        return [read_json(run / "DONE")["artefacts"]["model.safetensors"] for run in self.runs]

    def real(self, part: str) -> Labelled:
        """Return the real tiles of a part of the fold."""
        rows = labelled_rows(self.tiles, getattr(self.fold, part))
        probabilities = [np.load(run / f"{part}.npy") for run in self.runs]
        return Labelled(self.tiles.labels[rows], self.tiles.patients[rows], probabilities, self.thresholds)

    def predict(self, made: TileSet) -> Labelled:
        """Predict the classes of synthetic tiles."""
        classes, rows = len(self.tiles.classes), np.arange(len(made))
        probabilities: list[NDArray[np.floating]] = []
        for run in self.runs:
            model = load_classifier(run, self.config, classes=classes, device=self.device)
            probabilities.append(predict(model, made, rows, self.config))
        return Labelled(made.labels, made.patients, probabilities, self.thresholds)


def train_label_classifiers(
    study: StudyConfig, tiles: TileSet, fold: Fold, *, seeds: int, run: Path, device: str
) -> LabelClassifiers:
    """Train the study's classifier on real training tiles alone, or continue in ``run``."""
    rows = labelled_rows(tiles, fold.train)
    runs = tuple(run / f"seed-{seed}" for seed in range(seeds))
    for seed, out in enumerate(runs):
        train_classifier(
            TrainingSet.of(tiles, rows),
            study.classifier,
            evaluate={part: (tiles, tiles.rows_of(getattr(fold, part))) for part in PARTS},
            out=out,
            settings={"tileset": tiles.content_hash, "fold": fold.model_dump()},
            seed=study.seed * 1000 + seed,
            device=device,
        )
    return LabelClassifiers(runs, study.classifier, tiles, fold, device)
