"""Guidance: the stated formula, its interval, the earlier model, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK, phantom_tileset
from torch import nn

from nucleosynth.cli import main
from nucleosynth.diffusion.config import GeneratorConfig, InitialWeights, NetworkConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard, require_same_training
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.sampling.guidance import guided, within
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError


class EchoCondition(nn.Module):
    """A network that returns its condition times a factor, and counts its pictures."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor
        self.pictures = 0

    def forward(self, x, c_noise, condition):
        self.pictures += len(x)
        echo = condition.label[:, None, None, None] + condition.planes[:, :1].mean(dim=(2, 3), keepdim=True)
        return torch.zeros_like(x) + self.factor * echo


def denoiser(factor=1.0):
    return Denoiser(EchoCondition(factor), mean=torch.zeros(3), std=torch.ones(3), spectrum=Spectrum.flat(8))


def condition(n=2):
    given = torch.ones(n, dtype=torch.bool)
    planes = mask_planes(torch.ones(n, 8, 8), given)
    return Condition(torch.full((n,), 1), planes, stain_vector(torch.zeros(n, 6), given))


def generator(seed=0, **changes):
    torch.manual_seed(seed)
    network = NetworkConfig.model_validate(TINY_NETWORK)
    card = ModelCard(["a", "b"], 16, 1.0, True, ["p:1"], "hash", network, 4)
    card = replace(card, **changes)
    made = build_denoiser(card)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return Generator(made, card)


X, SIGMA = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((2,), 1.5)


def test_guidance_is_the_stated_formula_and_off_at_one():
    model, bad, asked = denoiser(), denoiser(0.5), condition()
    full = model(X, SIGMA, asked)
    no_class, no_mask = (model(X, SIGMA, asked.without(name)) for name in ("class", "mask"))
    weights = {"class": 1.5, "mask": 2.0, "auto": 3.0}
    made = guided(model, asked, weights, early=bad)(X, SIGMA)
    expected = full + 0.5 * (full - no_class) + (full - no_mask) + 2 * (full - bad(X, SIGMA, asked))
    assert torch.allclose(made, expected, atol=1e-5)
    assert torch.equal(guided(model, asked, dict.fromkeys(weights, 1.0))(X, SIGMA), full)
    assert torch.equal(guided(model, asked, {})(X, SIGMA), full)
    own = guided(model, asked, {"auto": 5.0}, early=model)(X, SIGMA)
    assert torch.allclose(own, full)  # a model does not differ from itself


def test_outside_the_interval_guidance_is_off_and_costs_nothing():
    model, bad, asked = denoiser(), denoiser(0.5), condition()
    plain = guided(model, asked, {})
    inside = guided(model, asked, {"class": 1.5, "auto": 2.0}, early=bad)
    limited = within(inside, plain, (0.5, 1.5))
    for sigma, guides in ((1.6, False), (1.5, True), (0.5, True), (0.4, False)):
        level = torch.full((2,), sigma)
        model.network.pictures = bad.network.pictures = 0
        made = limited(X, level)
        assert (model.network.pictures, bad.network.pictures) == ((4, 2) if guides else (2, 0))
        assert torch.equal(made, (inside if guides else plain)(X, level))
    assert not torch.equal(inside(X, SIGMA), plain(X, SIGMA))


def test_the_interval_reaches_the_sampler():
    model = generator()

    def make(**changes):
        return model.sample([0, 1], guidance={"class": 3.0}, steps=4, **changes)

    assert np.array_equal(make(guidance_interval=(0, 1000)), make())
    off = make(guidance_interval=(1000, 2000))
    assert np.array_equal(off, model.sample([0, 1], steps=4))
    assert not np.array_equal(off, make())
    part = make(guidance_interval=(0.1, 5))
    assert not np.array_equal(part, off)
    assert not np.array_equal(part, make())


def test_an_earlier_model_guides():
    model, early = generator(), generator(1)

    def make(weight):
        return model.sample([0, 1], guidance={"auto": weight}, early=early, steps=3)

    plain = model.sample([0, 1], steps=3)
    assert np.array_equal(make(1.0), plain)
    assert not np.array_equal(make(2.0), plain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 32}, "its size is 32, the generator's 16"),
        ({"classes": ["a"]}, r"its classes is \['a'\]"),
        ({"recipe": "per-class"}, "its recipe is 'per-class'"),
        ({"patients": ["p:1", "p:9"]}, "was trained on patient p:9"),
    ],
)
def test_an_earlier_model_of_another_training_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        generator().sample([0], guidance={"auto": 2.0}, early=generator(1, **changes), steps=2)


@pytest.mark.parametrize(
    ("card", "arguments", "words"),
    [
        ({}, {"guidance": {"stain": 2.0}}, "unknown term `stain`"),
        ({}, {"guidance": {"auto": 2.0}}, "needs an earlier model"),
        ({}, {"guidance": {"mask": 2.0}}, "`mask` is on but not given as condition"),
        ({}, {"guidance": {"class": 2.0}, "labels": None}, "`class` is on but not given as condition"),
        ({"classes": []}, {"guidance": {"class": 2.0}, "labels": [-1]}, "trained without `class`"),
        ({}, {"guidance_interval": (5, 1)}, "lower noise level first"),
        ({}, {"steps": 0}, "0 steps; expected 1 to 1000"),
        ({}, {"sampler": "euler"}, "unknown sampler 'euler'"),
        ({"seen": [1]}, {}, r"label 0 \(a\): the generator was trained on no tile of it"),
    ],
)
def test_a_wrong_request_is_one_line(card, arguments, words):
    with pytest.raises(InputError, match=words):
        generator(**card).sample(**{"labels": [0], "steps": 2, **arguments})


def test_an_early_model_with_leaking_initial_weights_is_refused():
    own = generator().card
    started = replace(own, start=InitialWeights(generator="prior", patients=("elsewhere:1",)))
    with pytest.raises(InputError, match="early: was trained on patient elsewhere:1, the generator was not"):
        require_same_training(own, started, name="early")
    require_same_training(started, own, name="early")


@pytest.mark.slow
def test_training_keeps_an_early_model_for_guidance(tmp_path, capsys):
    tiles = phantom_tileset(tmp_path / "tiles")
    patients = sorted(set(tiles.patients.tolist()))[:4]
    config = GeneratorConfig.model_validate({"steps": 8, "batch": 4, "network": TINY_NETWORK})
    path = train_generator(tiles, patients, config, out=tmp_path / "run", device="cpu")
    early = Generator.from_pretrained(tmp_path / "run" / "early")
    assert early.card.steps == 2
    assert early.generator_id != Generator.from_pretrained(path).generator_id
    few = SynthesisConfig(tiles=4, steps=2, batch=4, guidance={"auto": 1.5})
    pool = synthesise(Generator.from_pretrained(path), tiles, tmp_path / "pool", config=few)
    assert pool.info["provenance"]["early"] == early.generator_id
    words = ["sample", path, "--donors", tiles.path, "--tiles=4", "--steps=2", "--guidance.auto=1.5"]
    named = [*words, "--early", tmp_path / "run" / "early", "--guidance.interval", "0.1", "100"]
    assert main([str(word) for word in [*named, "--out", tmp_path / "named"]]) == 0
    (tmp_path / "run" / "early").rename(tmp_path / "away")
    assert main([str(word) for word in [*words, "--out", tmp_path / "none"]]) == 2
    assert "early: no generator here" in capsys.readouterr().err
    assert not list(tmp_path.glob(".none*"))
