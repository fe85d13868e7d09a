"""``nucleosynth classify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nucleosynth.cli.settings import Device, Out, Seed, Settings, StudyFile, load_section, open_split


def classify(
    tiles: Path,
    /,
    *,
    split: Path,
    out: Out,
    fold: int = 0,
    test: Annotated[bool, Parameter(negative="")] = False,
    study: StudyFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Train a classifier on the training patients and print its scores on the validation patients.

    For example::

        nucleosynth classify runs/tiles --split runs/split.json \
            --classifier.steps 500 --out runs/classifier

    Parameters
    ----------
    tiles
        TileSet with labels.
    split
        Split file.
    fold
        Fold of the split file, counted from 0.
    test
        Score the test patients too. Do this once, at the end.
    """
    from nucleosynth.classify.config import ClassifierConfig
    from nucleosynth.classify.train import classify_tiles
    from nucleosynth.data.tileset import TileSet

    config = load_section(ClassifierConfig, "classifier", study=study, settings=settings)
    scores = classify_tiles(
        TileSet.open(tiles),
        open_split(split, fold),
        config,
        out=out,
        seed=seed,
        device=device,
        test=test,
        fold=fold,
    )
    print(json.dumps(scores, indent=2))
