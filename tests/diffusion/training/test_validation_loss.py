"""Patients held out inside the training part: their choice, and the use of the loss on them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.phantoms import TINY_NETWORK, phantom_tileset

from nucleosynth.config import parse
from nucleosynth.diffusion.config import GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.diffusion.training.validation_loss import held_out_patients
from nucleosynth.files import read_json, read_jsonl


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield phantom_tileset(tmp_path_factory.mktemp("phantom") / "tiles", tiles=72, patients=12)


def everyone(tiles):
    return sorted(set(tiles.patients.tolist()))


def test_a_part_of_the_patients_is_held_out_and_every_class_stays(tiles):
    held = held_out_patients(tiles, everyone(tiles), share=0.25, seed=0)
    assert len(held) == 3
    rest = tiles.rows_of(set(everyone(tiles)) - set(held))
    assert set(tiles.labels[rest]) == set(tiles.labels)


@pytest.mark.parametrize(("count", "share"), [(9, 0.2), (12, 0.0)])
def test_no_patient_is_held_out_of_few_or_where_none_is_wanted(tiles, count, share):
    assert held_out_patients(tiles, everyone(tiles)[:count], share=share, seed=0) == []


@pytest.mark.slow
def test_training_checks_on_them_and_says_why_it_stopped(tiles, tmp_path):
    config = parse(
        GeneratorConfig, {"steps": 40, "batch": 4, "network": TINY_NETWORK, "hold_out": 0.25, "lr": 0.02}
    )
    path = train_generator(tiles, everyone(tiles), config, out=tmp_path / "run", device="cpu")
    summary = read_json(tmp_path / "run" / "summary.json")
    checks = read_jsonl(tmp_path / "run" / "held_out.jsonl")
    best = min(checks, key=lambda check: check["loss"])
    assert all(np.isfinite(check["loss"]) for check in checks)
    assert summary["steps"] == best["step"]
    assert len(summary["held_out_patients"]) == 3
    assert f"step {best['step']} are kept" in summary["stopped"]
    card = Generator.from_pretrained(path).card
    assert card.patients == everyone(tiles)  # held-out patients influence the stop, so they count too
    assert card.steps == best["step"]


def test_held_out_tiles_are_never_trained_on(tiles, tmp_path, monkeypatch):
    from nucleosynth.diffusion.training import generator as train

    learned: set[int] = set()
    init = train.DenoisingLearner.__init__

    def spy(self, model, batches, device):
        learned.update(batches.rows.tolist())
        init(self, model, batches, device)

    monkeypatch.setattr(train.DenoisingLearner, "__init__", spy)
    config = parse(GeneratorConfig, {"steps": 2, "batch": 4, "network": TINY_NETWORK, "hold_out": 0.25})
    train_generator(tiles, everyone(tiles), config, out=tmp_path / "run", device="cpu")
    held = read_json(tmp_path / "run" / "summary.json")["held_out_patients"]
    assert not learned & set(tiles.rows_of(held).tolist())
