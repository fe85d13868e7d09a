"""The generator: saving, sampling, donors, and training that resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.phantoms import TINY_NETWORK

from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes
from nucleosynth.diffusion.sampling.solvers import ddim
from nucleosynth.diffusion.synthesis import choose_donors, synthesise
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError

CONFIG = GeneratorConfig.model_validate({"steps": 4, "batch": 4, "network": TINY_NETWORK})


@pytest.fixture
def generator():
    torch.manual_seed(0)
    card = ModelCard(["a", "b"], 16, 1.0, True, ["p:1"], "hash", CONFIG.network, 4)
    denoiser = build_denoiser(card, mean=torch.full((3,), 0.6), std=torch.full((3,), 0.2))
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return Generator(denoiser, card)


def test_save_load_same_tiles(generator, tmp_path):
    generator.save_pretrained(tmp_path / "model")
    loaded = Generator.from_pretrained(tmp_path / "model", device="cpu")
    assert loaded.card == generator.card
    assert loaded.generator_id == generator.generator_id
    assert np.array_equal(loaded.sample([0, 1], steps=2), generator.sample([0, 1], steps=2))


def test_a_tile_depends_on_its_index_and_not_on_its_batch(generator):
    masks = np.random.default_rng(0).integers(0, 3, (5, 16, 16))
    whole = generator.sample([0, 1, None, 1, 0], masks, steps=3, guidance={"class": 1.5}, seed=4)
    pieces = generator.sample([0, 1, None, 1, 0], masks, steps=3, guidance={"class": 1.5}, seed=4, batch=2)
    assert np.abs(whole.astype(int) - pieces).max() <= 1
    alone = generator.sample([1], masks[3:4], steps=3, guidance={"class": 1.5}, seed=4, indices=[3])
    assert np.abs(alone[0].astype(int) - whole[3]).max() <= 1


def test_every_condition_changes_the_tile(generator):
    masks = np.zeros((1, 16, 16), int)
    masks[0, 4:12, 4:12] = 1
    plain = generator.sample([0], masks, stain=np.zeros(6), steps=2)
    others = [
        generator.sample([1], masks, stain=np.zeros(6), steps=2),
        generator.sample([0], masks * 0, stain=np.zeros(6), steps=2),
        generator.sample([0], None, stain=np.zeros(6), steps=2),
        generator.sample([0], masks, stain=np.ones(6), steps=2),
        generator.sample([0], masks, stain=None, steps=2),
        generator.sample([0], masks, stain=np.zeros(6), steps=2, seed=1),
    ]
    assert all(not np.array_equal(plain, other) for other in others)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": [2]}, "label 2 is outside"),
        ({"masks": np.zeros((1, 8, 8), int)}, r"masks are \(8, 8\) px; expected \(16, 16\)"),
        ({"labels": [0, 1], "indices": [3]}, "labels: 2 for 1 tiles"),
        ({"labels": [0], "guidance": {"klass": 2.0}}, "unknown term `klass`"),
    ],
)
def test_a_wrong_request_is_one_line(generator, arguments, words):
    with pytest.raises(InputError, match=words):
        generator.sample(**{"steps": 2, **arguments})


def test_foreign_and_damaged_models_are_refused(generator, tmp_path):
    with pytest.raises(InputError, match="no generator here"):
        Generator.from_pretrained(tmp_path)
    generator.save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be loaded"):
        Generator.from_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "architecture": "unified-9"}))
    with pytest.raises(InputError, match="architecture 'unified-9' is not"):
        Generator.from_pretrained(tmp_path / "model")


def test_a_missing_foreign_or_misshapen_tensor_is_named(generator, tmp_path):
    generator.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = {key: value.clone() for key, value in load_file(path).items()}  # the file is written over
    name = "network.entry.weight"
    changed = {
        f"tensor `{name}` is missing": {key: value for key, value in tensors.items() if key != name},
        "tensor `head.bias` is foreign": {**tensors, "head.bias": torch.zeros(3)},
        rf"tensor `{name}` is \(2, 2\), expected": {**tensors, name: torch.zeros(2, 2)},
    }
    for words, content in changed.items():
        save_file(content, path)
        with pytest.raises(InputError, match=words):
            Generator.from_pretrained(tmp_path / "model")


def test_a_model_without_the_fields_of_later_versions_loads(generator, tmp_path):
    generator.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    fields = json.loads(config.read_text())
    assert fields["architecture"] == "unified-3"
    later = ("recipe", "objective", "mask_scale", "seen")
    config.write_text(json.dumps({key: value for key, value in fields.items() if key not in later}))
    assert Generator.from_pretrained(tmp_path / "model").card == generator.card
    config.write_text(json.dumps({**fields, "recipe": "per-class"}))
    with pytest.raises(InputError, match="recipe 'per-class' does not make 'unified-3'"):
        Generator.from_pretrained(tmp_path / "model")


def test_prepared_features_change_no_bit(generator):
    masks = torch.zeros(3, 16, 16)
    masks[:, 3:9, 4:12] = 1
    given = torch.ones(3, dtype=torch.bool)
    asked = Condition(torch.tensor([0, 1, -1]), mask_planes(masks, given), torch.ones(3, 7))
    x, sigma = torch.randn(3, 3, 16, 16), torch.tensor([0.1, 1.0, 20.0])
    model = generator.denoiser
    assert torch.equal(model(x, sigma, model.prepare(asked)), model(x, sigma, asked))


def test_a_size_that_does_not_fold_is_refused():
    card = ModelCard([], 18, 1.0, False, [], "", CONFIG.network, 0)
    with pytest.raises(InputError, match="18 px must be a multiple of 4 px"):
        build_denoiser(card, mean=torch.zeros(3), std=torch.ones(3))


def test_training_reads_only_its_patients_and_stores_them(tiles, tmp_path):
    patients = sorted(set(tiles.patients.tolist()))[:5]
    path = train_generator(tiles, patients, CONFIG, out=tmp_path / "run", device="cpu")
    card = Generator.from_pretrained(path).card
    assert card.patients == patients
    assert card.steps == 4
    assert list((tmp_path / "run" / "previews").glob("*.png"))
    again = train_generator(tiles, patients, CONFIG, out=tmp_path / "run", device="cpu")
    assert again == path
    with pytest.raises(InputError, match="other settings"):
        train_generator(tiles, patients[:4], CONFIG, out=tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_training_is_the_same_function_of_its_seed(tiles, tmp_path):
    patients = sorted(set(tiles.patients.tolist()))[:3]
    ids = [
        Generator.from_pretrained(
            train_generator(tiles, patients, CONFIG, out=tmp_path / name, seed=seed, device="cpu")
        ).generator_id
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_synthesis_takes_donors_of_the_fitting_part_alone(tiles, tmp_path):
    patients = sorted(set(tiles.patients.tolist()))[:4]
    path = train_generator(tiles, patients, CONFIG, out=tmp_path / "run", device="cpu")
    config = SynthesisConfig(tiles=9, labels="balanced", steps=2, batch=4)
    pool = synthesise(Generator.from_pretrained(path), tiles, tmp_path / "pool", config=config)
    assert set(pool.patients.tolist()) <= set(patients)
    assert pool.labels.tolist() == [0, 1, 2] * 3
    assert pool.column("patient_id") == [None] * 9
    names = tiles.column("tile_id")
    for tile in pool.tiles():
        donor = names.index(tile.donor_tile_id)
        assert tile.label == tiles.labels[donor]
        assert np.count_nonzero(tile.mask) == np.count_nonzero(tiles.masks[donor])
    assert not list(tmp_path.glob(".pool*"))


@pytest.mark.slow
def test_interrupted_synthesis_continues_and_ends_the_same(tiles, tmp_path, monkeypatch):
    patients = sorted(set(tiles.patients.tolist()))[:4]
    path = train_generator(tiles, patients, CONFIG, out=tmp_path / "run", device="cpu")
    config = SynthesisConfig(tiles=12, steps=2, batch=4)
    whole = synthesise(Generator.from_pretrained(path), tiles, tmp_path / "whole", config=config)
    calls = []
    original = Generator.draw

    def counted(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(Generator, "draw", counted)
    with pytest.raises(KeyboardInterrupt):
        synthesise(Generator.from_pretrained(path), tiles, tmp_path / "broken", config=config)
    assert not (tmp_path / "broken").exists()
    resumed = synthesise(Generator.from_pretrained(path), tiles, tmp_path / "broken", config=config)
    assert len(calls) == 4
    assert resumed.content_hash == whole.content_hash


def test_the_donor_of_a_tile_does_not_depend_on_how_many_are_made():
    labels = np.array([0, 0, 0, 1, 2, 2])
    for rule in ("as-train", "balanced"):
        few = choose_donors(labels, 7, labels=rule, classes=3, seed=1)
        many = choose_donors(labels, 40, labels=rule, classes=3, seed=1)
        assert np.array_equal(few, many[:7])
    counts = np.bincount(labels[many], minlength=3)
    assert counts.tolist() == [14, 13, 13]


def test_a_function_is_a_sampler_and_every_step_can_be_watched(generator):
    seen = []

    def watch(step, steps, images):
        seen.append((step, steps, images))

    made = generator.sample([0, 1, 1], sampler=ddim, steps=4, seed=3, batch=2, on_step=watch)
    assert np.array_equal(made, generator.sample([0, 1, 1], sampler="ddim", steps=4, seed=3, batch=2))
    assert [(step, steps) for step, steps, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2
    assert np.array_equal(seen[-1][2], made[2:])
    for name in ("heun", "dpmpp-2m", "spectral"):
        seen.clear()
        generator.sample([0], sampler=name, steps=3, on_step=watch)
        assert [step for step, *_ in seen] == [1, 2, 3], name


def test_classes_are_asked_for_by_name_too(generator):
    by_name = generator.sample(["b", None], steps=2)
    assert np.array_equal(by_name, generator.sample([1, None], steps=2))
    with pytest.raises(InputError, match="unknown class 'grade 9'; known are a, b"):
        generator.sample(["grade 9"], steps=2)
