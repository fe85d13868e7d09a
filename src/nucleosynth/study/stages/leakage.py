"""Leakage check: no pretrained component of a study was trained on a held-out patient."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nucleosynth.config import load_yaml
from nucleosynth.data.split import Fold, Split, require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.files import read_json
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit

_log = logging.getLogger(__name__)


def refuse_leakage(study: StudyConfig, tiles: TileSet, split: Split, fits: Mapping[Fit, Fold]) -> None:
    """Refuse classifier weights, an extractor or a segmenter that was trained on a held-out patient.

    Components that influence an arm are checked against the patients of each fit: initial weights of
    classifiers, and the extractor of the filter ``typicality``. Components that only measure are checked
    against the training part of the split.

    Raises
    ------
    InputError
        A component was trained on a held-out patient; the message names both.
    """
    folds = {f"fold-{number}": fold.train for number, fold in enumerate(split.folds)}
    each = {fit.folder: fold.train for fit, fold in fits.items()}
    extractor, run = study.fidelity.extractor, "classifier:"
    if extractor.startswith(run):
        held_to = each if "typicality" in study.arms.filters else folds
        _refuse(extractor, Path(extractor.removeprefix(run)), tiles, held_to)
    for name in (study.segmenter.make, study.segmenter.judge):
        if name.startswith("weights:"):
            _refuse(name, Path(name.removeprefix("weights:")), tiles, folds)
    if study.classifier.weights.endswith(".safetensors"):
        _refuse(study.classifier.weights, Path(study.classifier.weights).parent, tiles, each)


def _refuse(name: str, folder: Path, tiles: TileSet, allowed: Mapping[str, Iterable[str]]) -> None:
    trained_on = training_patients_of(folder)
    if trained_on is None:
        _log.warning("%s: does not record its training patients; they may include test patients", name)
        return
    here = trained_on & set(tiles.patients.tolist())
    for fit, patients in allowed.items():
        require_no_leakage(f"{name}, {fit}", here, patients)


def training_patients_of(folder: Path) -> set[str] | None:
    """Return the training patients of a network, from the run of a classifier or the card of a segmenter.

    None if the folder does not record them.
    """
    from nucleosynth.segmentation.learned.weights import CARD

    if (folder / CARD).is_file():
        sources = read_json(folder / CARD).get("training", [])
        named = [source["patients"] for source in sources if "patients" in source]
        return set().union(*named) if len(named) == len(sources) else None
    if not (folder / "config.yaml").is_file():
        return None
    settings = load_yaml(folder / "config.yaml")
    inside: Any = settings.get("study") or settings
    fold = inside.get("fold") if isinstance(inside, dict) else None
    if settings.get("kind") != "classifier" or not isinstance(fold, dict):
        return None
    return set(fold["train"])
