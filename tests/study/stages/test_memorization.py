"""The copies audit of a study: on training tiles, with validation patients as the only reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.phantoms import phantom_tileset, tiny_study
from tests.study.contexts import fit_context

from nucleosynth.config import parse
from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import write_tileset
from nucleosynth.diffusion.config import GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError
from nucleosynth.evaluate.memorization.audit import memorization
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.stages import memorization as audits
from nucleosynth.study.stages.memorization import find_copies, initial_weights_tiles, pair_pictures


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


def audit(tiles, fold, generator, folder, *, count=8, extractor=None, also=(), **changes):
    """Search for copies, with cheap features by default."""
    context = fit_context(tiles, fold, folder, memorization={"tiles": count}, **changes)
    context = replace(context, also=tuple(other.path for other in also))
    return find_copies(context, generator, extractor or Cells(), folder=folder)


@pytest.fixture
def generator(tiles, fold, tmp_path):
    path = train_generator(tiles, fold.train, study(1).generator, out=tmp_path / "run", device="cpu")
    return Generator.from_pretrained(path, device="cpu")


@pytest.mark.slow
def test_no_tile_of_a_test_patient_is_read(tiles, fold, generator, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        audits, "memorization", lambda *tiles, **more: given.append(tiles) or memorization(*tiles, **more)
    )
    found = audit(tiles, fold, generator, tmp_path)
    ((train, _, held_out),) = given
    assert sorted(set(train.patients.tolist())) == fold.train
    assert sorted(set(held_out.patients.tolist())) == fold.validation
    assert {n: found["n"][n] for n in ("synthetic", "control")} == {"synthetic": 8, "control": 8}
    assert found["compared_with"] == "control"
    assert found["patients_not_compared"] == found["patients_of_start"] == 0


@pytest.mark.slow
def test_a_copy_is_found_and_shown_with_its_original(tiles, fold, generator, tmp_path):
    train = tiles.rows_of(fold.train)
    np.save(tmp_path / "copies.npy", np.asarray(tiles.images[train[:8]])[:, ::-1])
    found = audit(tiles, fold, generator, tmp_path)
    assert found["verdict"] == "8 near-identical tiles"
    synthetic, real = pair_pictures(found, tmp_path)
    assert np.array_equal(synthetic, real)


@pytest.fixture
def elsewhere(tmp_path):
    """Tiles of other patients; initial weights were trained on three of them."""
    drawn = phantom_tiles(PhantomConfig(tiles=20, patients=4, seed=5), size=16, mpp=1.0)
    rows = [replace(row, patient_id=f"elsewhere:{row.patient_id}") for row in drawn]
    return write_tileset(tmp_path / "elsewhere", rows, classes=CLASSES, ordinal=True)


@pytest.mark.slow
def test_training_tiles_of_the_initial_weights_are_searched_too(tiles, fold, elsewhere, tmp_path):
    known, unknown = (sorted(set(elsewhere.patients.tolist()))[part] for part in (slice(3), 3))
    config = study(8).generator
    start = train_generator(elsewhere, known, config, out=tmp_path / "start", device="cpu")
    warm = GeneratorConfig.model_validate({**config.model_dump(exclude_unset=True), "start": str(start)})
    path = train_generator(tiles, fold.train, warm, out=tmp_path / "warm", device="cpu")
    generator = Generator.from_pretrained(path, device="cpu")
    rows = elsewhere.rows_of(known)[:8]
    np.save(tmp_path / "copies.npy", np.asarray(elsewhere.images[rows])[:, ::-1])

    alone = audit(tiles, fold, generator, tmp_path)
    assert alone["identical"] == 0
    assert (alone["patients_of_start"], alone["patients_not_compared"]) == (0, 3)
    (tmp_path / "control.npy").unlink()
    found = audit(tiles, fold, generator, tmp_path, also=[elsewhere])
    assert found["verdict"] == "8 near-identical tiles"
    assert (found["patients_of_start"], found["patients_not_compared"]) == (3, 0)
    assert found["n"]["train"] == len(tiles.rows_of(fold.train)) + len(elsewhere.rows_of(known))
    synthetic, real = pair_pictures(found, tmp_path)
    assert np.array_equal(synthetic, real)
    assert unknown not in generator.card.trained_on


def test_initial_weights_tiles_that_do_not_match_the_study_are_refused_or_warned_of(
    tiles, fold, generator, elsewhere, tmp_path, caplog
):
    one = parse(StudyConfig, tiny_study(memorization={"tiles": 8, "also": ["elsewhere"]}))
    assert [other.path for other in initial_weights_tiles(one, tiles, tmp_path)] == [elsewhere.path]
    found = audit(tiles, fold, generator, tmp_path, also=[elsewhere])
    assert found["patients_of_start"] == 0
    assert "elsewhere has no tile of a patient that the generator was trained on" in caplog.text
    phantom_tileset(tmp_path / "larger", tiles=8, size=32)
    other = parse(StudyConfig, tiny_study(memorization={"also": ["larger"]}))
    with pytest.raises(InputError, match=r"larger has tiles of 32 x 32 px, the study of 16 x 16 px; cut"):
        initial_weights_tiles(other, tiles, tmp_path)


def test_variations_have_no_control_and_are_called_what_they_are(tiles, fold, generator, tmp_path):
    synthesis = {**tiny_study()["synthesis"], "variation": 0.05}
    found = audit(tiles, fold, generator, tmp_path, synthesis=synthesis)
    assert found["compared_with"] == "held_out"
    assert not (tmp_path / "control.npy").exists()
    assert found["copies"]["synthetic"]["copies"] == 8
    assert found["verdict"] != "no more copies shown than chance"


def test_features_that_are_no_numbers_leave_it_out_and_end_no_study(tiles, fold, generator, tmp_path, caplog):
    class Broken(Cells):
        def __call__(self, images):
            return super().__call__(images) * np.nan

    found = audit(tiles, fold, generator, tmp_path, extractor=Broken())
    assert found is None
    assert "the search for copies is left out: cells: features of" in caplog.text


def test_it_can_be_left_out(tiles, fold, generator, tmp_path):
    assert audit(tiles, fold, generator, tmp_path, count=0) is None
    assert find_copies(fit_context(tiles, fold, tmp_path), generator, None, folder=tmp_path) is None
    one = fold.model_copy(update={"train": fold.train[:1]})
    assert audit(tiles, one, generator, tmp_path) is None
    assert pair_pictures(None, tmp_path) is None
