"""Laws of a study, on drawn tissue whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.study.contexts import fit_context

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import write_tileset
from nucleosynth.study.design.arms import Arm
from nucleosynth.study.design.fits import draw_data_fraction
from nucleosynth.study.stages.training_sets import Pool, arm_training_set

CONFIG = ClassifierConfig(model="test_resnet", steps=100, batch=32, lr=5e-3, views=1)
SEEDS = 2


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Forty patients, twenty-four for training; and tiles of others, as of a perfect generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("laws")
        tiles, pool = (
            write_tileset(
                folder / name,
                phantom_tiles(PhantomConfig(tiles=count, patients=40, seed=seed), size=32, mpp=0.75),
                classes=CLASSES,
            )
            for name, count, seed in (("tiles", 1000, 0), ("pool", 600, 1))
        )
        names = sorted(set(tiles.patients.tolist()))
        yield tiles, Fold(train=names[:24], validation=names[24:28], test=names[28:]), pool


def reached(tissue, arm: Arm, out, *, train: list[str] | None = None) -> float:
    """Return the mean balanced accuracy of an arm on the test patients."""
    tiles, fold, pool = tissue
    Split(rule="all of them", folds=[fold]).save(out / "split.json")
    fold = fold.model_copy(update={"train": train or fold.train})
    drawn = Pool(pool, np.arange(len(pool)))
    training_set = arm_training_set(fit_context(tiles, fold, out), arm, drawn)
    parts = ("validation", "test")
    values = [
        train_classifier(
            training_set,
            CONFIG,
            evaluate={part: (tiles, tiles.rows_of(getattr(fold, part))) for part in parts},
            out=out / f"{arm.name}-{len(fold.train)}-{seed}",
            settings={},
            seed=seed,
            device="cpu",
        )["test"]["balanced_accuracy"]
        for seed in range(SEEDS)
    ]
    return float(np.mean(values))


@pytest.mark.slow
def test_more_patients_help_and_wrong_labels_harm(tissue, tmp_path):
    fold = tissue[1]
    real = Arm("real", "real")
    few = draw_data_fraction(tissue[0], fold.train, 0.12, seed=0)
    scarce = reached(tissue, real, tmp_path, train=few)
    enough = reached(tissue, real, tmp_path)
    right = reached(tissue, Arm("dose", "dose", dose=0.8), tmp_path, train=few)
    wrong = reached(tissue, Arm("shuffled", "shuffled", dose=0.8), tmp_path, train=few)
    held_back = reached(tissue, Arm("held-back", "held-back", dose=0.8), tmp_path, train=few)
    assert enough > scarce + 0.02, "more independent patients help"
    assert right > scarce + 0.02, "so do the tiles of a perfect generator"
    assert held_back > scarce + 0.02, "and real tiles in place of synthetic ones"
    assert wrong < right - 0.05, "whose labels matter"
    assert wrong < scarce - 0.05, "and harm where they are wrong"
