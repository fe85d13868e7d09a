"""Invented layouts decide the grade of a tile, according to a classifier of real tiles.

Phantom tissue of three grades, patients apart: generator, layouts and classifier are fitted to the training
patients, the classifier to their real tiles alone. What it says of the others' real tiles sets the bounds,
halfway from real tiles of the opposite grade to those of the grade itself. Claimed is:

- class and layout of a grade, the class guided: the tiles are called that grade; grade 3 also where layouts
  are those of grade 1, dialled to the size, anisonucleosis, contours and density of grade 3;
- at the same class condition the layout matters: with grade 1's own layouts fewer tiles are called grade 3;
- the layout alone, no class asked for, decides what is called grade 1 and what is not. It makes about
  half of them grade 3: after so short a training chromatin and nucleoli follow the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import nn

from nucleosynth.backbones import create_backbone
from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.mixture import TrainingSet
from nucleosynth.classify.scoring import predict
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.layouts import fit
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.layouts.provider import ModelLayouts

pytestmark = pytest.mark.slow

SEED = 0
GRADE_1, GRADE_3 = 0, 2
COUNT = 128
GUIDANCE = {"class": 2.0}
TRAINING = [f"phantom:p{i:02d}" for i in range(16)]
OTHERS = [f"phantom:p{i:02d}" for i in range(16, 32)]
LIKE_GRADE_3 = Dial(size_ratio=1.8, anisonucleosis=1.5, irregularity=1.5, density=0.4)
GENERATOR = GeneratorConfig.model_validate({"steps": 700, "hold_out": 0.0, "network": {"width": 32}})
CLASSIFIER = ClassifierConfig(
    model="tf_efficientnet_lite0", weights="lite0", steps=80, batch=48, lr=5e-4, views=2
)


@dataclass(frozen=True)
class Laboratory:
    """Everything that was fitted to the training patients."""

    tiles: TileSet
    generator: Generator
    layouts: LayoutModel
    classifier: nn.Module
    real: np.ndarray  # (3, 3): share of the others' tiles of each grade that is called each grade

    def calls(self, images: np.ndarray) -> np.ndarray:
        """(3,) share of the tiles that is called each grade."""
        rows = np.arange(len(images))
        called = predict(self.classifier, SimpleNamespace(images=images), rows, CLASSIFIER).argmax(axis=1)
        return np.bincount(called, minlength=3) / len(images)

    def made(self, layout: int, *, grade: int | None, dial: Dial | None = None) -> np.ndarray:
        """What tiles from layouts of one grade, with the class condition of another or none, are called."""
        masks = self.layouts.draw(COUNT, label=layout, dial=dial, size=32, mpp=0.75, seed=SEED)
        rows = self.tiles.rows_of(TRAINING)
        stains = slide_descriptors(self.tiles, rows)[np.linspace(0, len(rows) - 1, COUNT).astype(int)]
        return self.calls(
            self.generator.sample([grade] * COUNT, masks, stain=stains, steps=8, guidance=GUIDANCE, seed=SEED)
        )

    def bound(self, grade: int) -> float:
        """Halfway from the real tiles of the opposite grade that are called so to those of the grade."""
        return float(self.real[[GRADE_1, GRADE_3], grade].mean())


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(fit, "_TRIAL", 100)
        folder = tmp_path_factory.mktemp("grades")
        rows = phantom_tiles(PhantomConfig(patients=32, tiles=1500), size=32, mpp=0.75)
        tiles = write_tileset(folder / "tiles", rows, classes=CLASSES, ordinal=True)
        made = train_generator(tiles, TRAINING, GENERATOR, out=folder / "generator", seed=SEED, device="cpu")
        classifier, real = real_classifier(tiles, folder / "classifier")
        layouts = fit.fit_layouts(tiles, TRAINING, rounds=4, seed=SEED)
        yield Laboratory(tiles, Generator.from_pretrained(made, device="cpu"), layouts, classifier, real)


def real_classifier(tiles: TileSet, out: Path) -> tuple[nn.Module, np.ndarray]:
    """Train on real tiles of the training patients; return it and its calls on those of the others."""
    train, others = tiles.rows_of(TRAINING), tiles.rows_of(OTHERS)[:400]
    train_classifier(
        TrainingSet.of(tiles, train),
        CLASSIFIER,
        evaluate={"validation": (tiles, others)},
        out=out,
        settings={},
        seed=SEED,
        device="cpu",
    )
    model = create_backbone(CLASSIFIER.model, weights="none", num_classes=3)
    model.load_state_dict(load_file(out / "model.safetensors"))
    called = np.load(out / "validation.npy").argmax(axis=1)
    real = [np.bincount(called[tiles.labels[others] == grade], minlength=3) for grade in range(3)]
    return model, np.array([row / row.sum() for row in real])


def test_the_classifier_separates_real_grades(laboratory):
    for grade, other in ((GRADE_1, GRADE_3), (GRADE_3, GRADE_1)):
        assert laboratory.real[grade, grade] > 0.6
        assert laboratory.real[other, grade] < 0.3
        assert laboratory.bound(grade) > 1 / 3


def test_layouts_of_a_grade_make_tiles_of_that_grade(laboratory, tmp_path):
    """As ``sample --layouts`` makes them."""
    config = SynthesisConfig(tiles=3 * COUNT, labels="balanced", steps=8, guidance=GUIDANCE)
    made = synthesise(
        laboratory.generator,
        laboratory.tiles,
        tmp_path / "made",
        config=config,
        layouts=ModelLayouts(laboratory.layouts),
        seed=SEED,
    )
    for grade in (GRADE_1, GRADE_3):
        called = laboratory.calls(np.asarray(made.images[made.labels == grade]))
        assert called[grade] > laboratory.bound(grade), called


def test_grade_3_needs_nuclei_of_grade_3_and_the_dial_makes_them(laboratory):
    own = laboratory.made(GRADE_1, grade=GRADE_3)
    dialled = laboratory.made(GRADE_1, grade=GRADE_3, dial=LIKE_GRADE_3)
    assert dialled[GRADE_3] > laboratory.bound(GRADE_3), dialled
    assert own[GRADE_3] < dialled[GRADE_3] - 0.05, (own, dialled)


def test_the_layout_alone_decides_what_is_grade_1(laboratory):
    own = laboratory.made(GRADE_1, grade=None)
    assert own[GRADE_1] > laboratory.bound(GRADE_1), own
    for layout, dial in ((GRADE_3, None), (GRADE_1, LIKE_GRADE_3)):
        called = laboratory.made(layout, grade=None, dial=dial)
        assert called[GRADE_1] < own[GRADE_1] - 0.25, (own, called)
