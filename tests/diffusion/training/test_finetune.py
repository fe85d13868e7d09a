"""Training from a trained generator: what is kept, what is fresh, and what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK

from nucleosynth.diffusion.config import GeneratorConfig, Student
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.training.finetune import LABELS, fine_tuned_card, fine_tuned_denoiser
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError

BASE = {"steps": 3, "batch": 4, "network": TINY_NETWORK}


@pytest.fixture(scope="module")
def patients(tiles):
    return sorted(set(tiles.patients.tolist()))


@pytest.fixture(scope="module")
def start(tiles, patients, tmp_path_factory):
    """A generator trained on the first patient, in its directory."""
    out = tmp_path_factory.mktemp("start") / "run"
    train_generator(tiles, patients[:1], GeneratorConfig.model_validate(BASE), out=out, device="cpu")
    return out


def config(start, **changes):
    return GeneratorConfig.model_validate({**BASE, "start": str(start), **changes})


def test_fine_tuning_continues_from_the_initial_weights(tiles, patients, start, tmp_path):
    barely = config(start, steps=1, lr=1e-9, ema_fraction=0)
    path = train_generator(tiles, patients[:2], barely, out=tmp_path / "run", device="cpu")
    before, after = (Generator.from_pretrained(where, device="cpu") for where in (start, path))
    for name, value in before.denoiser.network.state_dict().items():
        assert torch.allclose(value, after.denoiser.network.state_dict()[name], atol=1e-6), name
    assert after.card.patients == patients[:2]
    assert after.card.start.generator == before.generator_id
    assert list(after.card.start.patients) == patients[:1]
    assert json.loads((path / "config.json").read_text())["start"]["patients"] == patients[:1]


def test_patients_of_initial_weights_count_as_training_patients():
    network = GeneratorConfig.model_validate(BASE).network
    first = ModelCard(["a"], 16, 1.0, True, ["p:1"], "hash", network, 1)
    second = replace(first, patients=["p:2"])
    denoiser = fine_tuned_denoiser(first, Generator(build_denoiser(first), first), torch.zeros(4, 3, 16, 16))
    second = fine_tuned_card(second, Generator(denoiser, first))
    third = fine_tuned_card(replace(first, patients=["p:3"]), Generator(denoiser, second))
    assert second.trained_on == ["p:1", "p:2"]
    assert third.trained_on == ["p:1", "p:2", "p:3"]
    assert third.trained_on_among(["p:2", "p:9"]) == ["p:2", "p:3"]


def test_known_classes_keep_what_they_learned_and_new_ones_begin_as_none(start):
    source = Generator.from_pretrained(start, device="cpu")
    torch.nn.init.normal_(source.denoiser.network.label.weight)
    known = source.card.classes
    card = fine_tuned_card(replace(source.card, classes=["new", known[1]]), source)
    denoiser = fine_tuned_denoiser(card, source, 255 * torch.rand(4, 3, *2 * [source.card.size]))
    old, new = source.denoiser.network.state_dict()[LABELS], denoiser.network.state_dict()[LABELS]
    assert torch.equal(new[0], old[0])
    assert torch.equal(new[1], old[0])
    assert torch.equal(new[2], old[known.index(known[1]) + 1])


def test_colours_are_measured_anew(start):
    source = Generator.from_pretrained(start, device="cpu")
    pale = 200 + 20 * torch.rand(6, 3, source.card.size, source.card.size)
    denoiser = fine_tuned_denoiser(fine_tuned_card(source.card, source), source, pale)
    seen = denoiser.standardise(pale)
    assert seen.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert torch.allclose(seen.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)
    assert not torch.equal(denoiser.spectrum.variance, source.denoiser.spectrum.variance)


def test_tiles_of_another_size_keep_the_network(start):
    source = Generator.from_pretrained(start, device="cpu")
    size = 2 * source.card.size
    card = fine_tuned_card(replace(source.card, size=size), source)
    assert card.network.unshuffle == source.denoiser.network.unshuffle
    pictures = 255 * torch.rand(6, 3, size, size)
    denoiser = fine_tuned_denoiser(card, source, pictures)
    assert denoiser.spectrum.variance.shape == (3, size, size)
    made = Generator(denoiser, card).sample(indices=[0], steps=2)
    assert made.shape == (1, size, size, 3)


def test_initial_weights_shorten_training():
    plain, warm = GeneratorConfig(start="none"), GeneratorConfig(start="runs/a")
    assert (plain.minutes, warm.minutes) == (30, 10)
    chosen = GeneratorConfig(start="runs/a", steps=7)
    assert (chosen.minutes, chosen.steps) == (None, 7)
    assert GeneratorConfig.model_validate(warm.model_dump(mode="json")) == warm


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "prior"),
        ({"recipe": "unified", "steps": 7, "lr": 0.001}, "prior"),
        ({"recipe": "per-class"}, "none"),
        ({"objective": "epsilon"}, "none"),
        ({"network": {"width": 64}}, "none"),
        ({"path": "runs/a"}, "none"),
        ({"recipe": "mask-guided", "start": "runs/a"}, "runs/a"),
    ],
)
def test_training_begins_with_the_prior_where_it_fits(changes, begins):
    config = GeneratorConfig.model_validate(changes)
    assert config.start == begins
    assert GeneratorConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.slow
def test_a_run_continues_only_with_its_own_initial_weights(tiles, patients, start, tmp_path):
    asked = config(start, steps=2)
    path = train_generator(tiles, patients[:2], asked, out=tmp_path / "run", device="cpu")
    assert train_generator(tiles, patients[:2], asked, out=tmp_path / "run", device="cpu") == path
    other = tmp_path / "other"
    seeded = GeneratorConfig.model_validate(BASE)
    train_generator(tiles, patients[:1], seeded, out=other, seed=1, device="cpu")
    with pytest.raises(InputError, match="start"):
        train_generator(tiles, patients[:2], config(other, steps=2), out=tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "mask-guided"}, "is of the recipe unified with objective edm"),
        ({"network": {**TINY_NETWORK, "width": 64}}, "generator.network.width: 64, but"),
    ],
)
def test_initial_weights_that_do_not_fit_are_refused(tiles, patients, start, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train_generator(tiles, patients[:2], config(start, **changes), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_initial_weights_must_exist(tiles, patients, tmp_path):
    with pytest.raises(InputError, match="nowhere: no generator here"):
        train_generator(tiles, patients, config("nowhere"), out=tmp_path / "run", device="cpu")


def test_initial_weights_trained_on_a_held_out_patient_are_refused(tiles, patients, start, tmp_path):
    with pytest.raises(InputError, match=f"was trained on patient {patients[0]}, who is held out"):
        train_generator(tiles, patients[1:], config(start), out=tmp_path / "run", device="cpu")


def test_a_student_cannot_give_initial_weights(tiles, patients, start, tmp_path):
    source = Generator.from_pretrained(start, device="cpu")
    student = replace(source.card, student=Student(teacher="x", sigmas=(40.0, 2.0)))
    Generator(source.denoiser, student).save_pretrained(tmp_path / "student")
    with pytest.raises(InputError, match="is a student"):
        train_generator(tiles, patients, config(tmp_path / "student"), out=tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_tissue_of_another_scale_is_warned_of(tiles, patients, start, tmp_path, caplog):
    source = Generator.from_pretrained(start, device="cpu")
    Generator(source.denoiser, replace(source.card, mpp=4 * tiles.mpp)).save_pretrained(tmp_path / "coarse")
    with caplog.at_level(logging.WARNING):
        asked = config(tmp_path / "coarse", steps=1)
        train_generator(tiles, patients[:1], asked, out=tmp_path / "run", device="cpu")
    assert f"trained at {4 * tiles.mpp:g} µm/px" in caplog.text


def test_the_hub_gets_no_patient_of_the_initial_weights(start, monkeypatch):
    import huggingface_hub

    source = Generator.from_pretrained(start, device="cpu")
    card = fine_tuned_card(replace(source.card, patients=["p:own"]), source)
    sent = {}

    def upload(self, *, repo_id, folder_path):
        sent[repo_id] = json.loads((folder_path / "config.json").read_text())

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    Generator(source.denoiser, card).push_to_hub("me/model", salt="s")
    text = json.dumps(sent["me/model"])
    assert source.card.patients[0] not in text
    assert "p:own" not in text
    assert np.all([len(name) == 64 for name in sent["me/model"]["start"]["patients"]])
