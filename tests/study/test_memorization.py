"""The audit of a study: asked of training tiles, read against validation patients alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.phantoms import tiny_study

from nucleosynth.config import parse
from nucleosynth.data.split import Fold
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.train import train_generator
from nucleosynth.evaluate.memorization import memorization
from nucleosynth.study import memorization as audits
from nucleosynth.study.memorization import audit_generator, pair_pictures
from nucleosynth.study.protocol import StudyConfig


class Cells:
    """Cheap features."""

    name, weights_hash = "cells", "none"

    def __call__(self, images):
        return images.reshape(len(images), 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(len(images), -1) - 128.0


@pytest.fixture
def fold(tiles):
    names = sorted(set(tiles.patients.tolist()))
    return Fold(train=names[:4], validation=names[4:6], test=names[6:])


def study(count: int) -> StudyConfig:
    return parse(StudyConfig, tiny_study(memorization={"tiles": count}))


@pytest.fixture
def generator(tiles, fold, tmp_path):
    path = train_generator(tiles, fold.train, study(1).generator, out=tmp_path / "run", device="cpu")
    return Generator.from_pretrained(path, device="cpu")


def test_no_tile_of_a_test_patient_is_read(tiles, fold, generator, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        audits, "memorization", lambda *sides, **more: given.append(sides) or memorization(*sides, **more)
    )
    found = audit_generator(study(8), generator, tiles, fold, extractor=Cells(), folder=tmp_path)
    ((train, _, held_out),) = given
    assert sorted(set(train.patients.tolist())) == fold.train
    assert sorted(set(held_out.patients.tolist())) == fold.validation
    assert {n: found["n"][n] for n in ("synthetic", "control")} == {"synthetic": 8, "control": 8}
    assert found["compared_with"] == "control"
    assert {tiles.patients[pair["train"]] for pair in found["pairs"]} <= set(fold.train)
    assert found["patients_not_compared"] == 0


def test_a_copy_is_found_and_shown_beside_its_original(tiles, fold, generator, tmp_path):
    train = tiles.rows_of(fold.train)
    np.save(tmp_path / "copies.npy", np.asarray(tiles.images[train[:8]])[:, ::-1])
    found = audit_generator(study(8), generator, tiles, fold, extractor=Cells(), folder=tmp_path)
    assert found["verdict"] == "8 near-identical tiles"
    synthetic, real = pair_pictures(tiles, found, tmp_path / "copies.npy")
    assert np.array_equal(synthetic, real)


def test_variations_have_no_control_and_are_called_what_they_are(tiles, fold, generator, tmp_path):
    synthesis = {**tiny_study()["synthesis"], "variation": 0.05}
    one = parse(StudyConfig, tiny_study(memorization={"tiles": 8}, synthesis=synthesis))
    found = audit_generator(one, generator, tiles, fold, extractor=Cells(), folder=tmp_path)
    assert found["compared_with"] == "held_out"
    assert not (tmp_path / "control.npy").exists()
    assert found["copies"]["synthetic"]["copies"] == 8
    assert found["verdict"] != "no more copies shown than chance"


def test_it_can_be_left_out(tiles, fold, generator, tmp_path):
    assert audit_generator(study(0), generator, tiles, fold, extractor=Cells(), folder=tmp_path) is None
    assert audit_generator(study(8), generator, tiles, fold, extractor=None, folder=tmp_path) is None
    one = fold.model_copy(update={"train": fold.train[:1]})
    assert audit_generator(study(8), generator, tiles, one, extractor=Cells(), folder=tmp_path) is None
    assert pair_pictures(tiles, None, tmp_path / "copies.npy") is None
