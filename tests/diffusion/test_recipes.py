"""The paper's recipes against DDPM as its paper writes it, by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.phantoms import TINY_NETWORK, tiny_study
from torch import nn

from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.diffusion.config import GeneratorConfig, NetworkConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.ddpm_schedule import linear_sigmas, spaced_sigmas
from nucleosynth.diffusion.model.denoiser import EpsilonDenoiser
from nucleosynth.diffusion.sampling.solvers import ddpm
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.diffusion.training.batches import TrainingBatches
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError
from nucleosynth.study.design.config import StudyConfig

PAPERS = ["mask-guided", "per-class"]
BETAS = [1e-4 + (0.02 - 1e-4) * t / 999 for t in range(1000)]
KEPT = np.cumprod([1 - beta for beta in BETAS])  # alpha bar


class Wave(nn.Module):
    """Stands for a network: some function of what it is given."""

    def forward(self, x, c_noise, condition):
        return torch.sin(3 * x + 2 * c_noise[:, None, None, None])


def condition(labels=(0, 1), size=8):
    n = len(labels)
    masks = torch.zeros(n, size, size)
    masks[:, 2:6, 2:6] = 1
    given = torch.ones(n, dtype=torch.bool)
    return Condition(torch.tensor(labels), mask_planes(masks, given), stain_vector(torch.zeros(n, 6), given))


def config(recipe, **changes):
    return GeneratorConfig.model_validate(
        {"recipe": recipe, "steps": 6, "batch": 4, "network": TINY_NETWORK, **changes}
    )


def card(recipe, **changes):
    network = NetworkConfig.model_validate(TINY_NETWORK)
    base = ModelCard(["a", "b"], 16, 1.0, recipe != "per-class", ["p:1"], "hash", network, 4, recipe=recipe)
    return ModelCard(**{**vars(base), **changes})


def untrained(recipe, **changes):
    torch.manual_seed(0)
    made = card(recipe, **changes)
    denoiser = build_denoiser(made)
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.1)
    return Generator(denoiser, made)


@pytest.fixture(scope="module")
def patients(tiles):
    return sorted(set(tiles.patients.tolist()))[:4]


def test_the_schedule_is_that_of_ddpm():
    sigmas = linear_sigmas()
    assert len(sigmas) == 1000
    assert np.allclose(sigmas**2, (1 - KEPT) / KEPT)
    assert KEPT[0] == pytest.approx(0.9999)
    assert KEPT[-1] == pytest.approx(4.036e-5, rel=1e-3)  # Ho et al.: almost nothing is left
    assert spaced_sigmas(1000)[:-1].tolist() == sigmas[::-1].tolist()
    assert spaced_sigmas(3).tolist() == [sigmas[999], sigmas[500], sigmas[0], 0]
    assert np.isin(spaced_sigmas(50)[:-1], sigmas).all()


@pytest.mark.parametrize("t", [0, 1, 250, 999])
def test_network_input_noise_level_and_loss_are_those_of_ddpm(t):
    clean, noise = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, 3, 8, 8)
    seen = []

    class Spy(Wave):
        def forward(self, x, c_noise, condition):
            seen.append((x, c_noise))
            return super().forward(x, c_noise, condition)

    model = EpsilonDenoiser(Spy())
    sigma = torch.full((2,), float(linear_sigmas()[t]))
    found = model.loss(clean, sigma, noise, condition())
    mixed = KEPT[t] ** 0.5 * clean + (1 - KEPT[t]) ** 0.5 * noise  # q_sample
    assert torch.allclose(seen[0][0], mixed.float(), atol=1e-5)
    assert torch.allclose(seen[0][1], torch.full((2,), t / 1000), atol=1e-6)
    expected = (noise - Wave()(mixed.float(), seen[0][1], None)).square().mean(dim=(1, 2, 3))
    assert torch.allclose(found, expected, rtol=2e-3)


def test_pixels_lie_between_minus_one_and_one():
    model = EpsilonDenoiser(Wave())
    ends = model.standardise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert ends[0].unique().tolist() == [-1]
    assert ends[1].unique().tolist() == [1]


def test_ancestral_sampling_is_ddpm_line_by_line():
    """1000 steps of Ho et al., algorithm 2, with the clean estimate clipped and the posterior's variance."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(1000, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
    model = EpsilonDenoiser(Wave()).double()
    asked = condition((0,), size=4)
    x = drawn[0]
    for t in reversed(range(1000)):
        before = KEPT[t - 1] if t else 1.0
        level = torch.full((1,), t / 1000, dtype=torch.float64)
        clean = (x - (1 - KEPT[t]) ** 0.5 * Wave()(x, level, None)) / KEPT[t] ** 0.5
        clean = clean.clamp(-1, 1)
        mean = (
            before**0.5 * BETAS[t] / (1 - KEPT[t]) * clean
            + (1 - BETAS[t]) ** 0.5 * (1 - before) / (1 - KEPT[t]) * x
        )
        variance = (1 - before) / (1 - KEPT[t]) * BETAS[t]
        x = mean + variance**0.5 * drawn[1000 - t] if t else mean

    def denoise(noisy, sigma):
        return model(noisy, sigma, asked).clamp(-1, 1)

    found = ddpm(denoise, torch.from_numpy(spaced_sigmas(1000)), lambda step: drawn[step])
    assert torch.allclose(found, x, atol=2e-3)


@pytest.mark.parametrize("steps", [50, 1000])
def test_ancestral_sampling_with_the_exact_denoiser_of_a_gaussian(steps):
    """The variance follows its own recursion; over the whole schedule it ends at that of the data."""
    generator = torch.Generator().manual_seed(0)

    def denoise(x, sigma):
        s = sigma[:, None, None, None]
        return (0.09 * x + 0.2 * s**2) / (0.09 + s**2)

    sigmas = spaced_sigmas(steps)
    variance = 1 + sigmas[0] ** 2
    for now, target in pairwise(sigmas):
        kept = (target / now) ** 2
        variance *= ((1 - kept) * 0.09 / (0.09 + now**2) + kept) ** 2
        variance += target**2 * (1 - kept)
    made = ddpm(
        denoise,
        torch.from_numpy(sigmas),
        lambda step: torch.randn(8, 3, 24, 24, generator=generator).double(),
    )
    assert float(made.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(made.std()) == pytest.approx(variance**0.5, rel=0.02)
    if steps == 1000:
        assert float(made.std()) == pytest.approx(0.3, rel=0.02)


def test_training_levels_are_drawn_uniformly_from_the_schedule(tiles):
    rows = tiles.rows_of(sorted(set(tiles.patients.tolist())))
    batches = TrainingBatches(
        tiles, rows, slide_descriptors(tiles, rows), True, 16, 0, 0, 0, 1, 0, levels=linear_sigmas()
    )
    steps = np.searchsorted(
        linear_sigmas(), np.concatenate([batches.draw(k)[1].numpy() for k in range(40)]) * (1 - 1e-6)
    )
    assert abs(steps.mean() - 499.5) < 45
    assert np.bincount(steps // 250, minlength=4).min() > 110  # of 160 each


def test_class_batches_hold_one_class_in_turn_and_whole_epochs(tiles, patients):
    rows = tiles.rows_of(patients)
    batches = TrainingBatches(
        tiles, rows, slide_descriptors(tiles, rows), False, 4, 0, 0, 0, 1, 0, one_class=True
    )
    drawn = [batches.draw(step)[3].label for step in range(6)]
    assert [set(label.tolist()) for label in drawn] == [{0}, {1}, {2}] * 2
    members = np.flatnonzero(tiles.labels[rows] == 1)
    turns = -(-len(members) // 4)
    picked = np.concatenate([batches._picked(1 + 3 * turn) for turn in range(turns)])
    assert set(members.tolist()) == set(picked.tolist())


@pytest.mark.parametrize("recipe", PAPERS)
def test_only_what_the_recipe_reads_changes_the_tile(recipe):
    generator = untrained(recipe)
    masks = np.zeros((1, 16, 16), int)
    masks[0, 4:12, 4:12] = 1
    masked = recipe == "mask-guided"

    def make(label=0, mask=masks, stain=0):
        return generator.sample([label], mask if masked else None, stain=np.full(6, stain), steps=3)

    assert np.array_equal(make(), make(stain=1))
    assert np.array_equal(make(), make(label=1)) == masked
    if masked:
        assert not np.array_equal(make(), make(mask=masks * 0))


def test_per_class_routes_each_picture_to_the_network_of_its_class():
    generator = untrained("per-class")
    both = generator.sample([1, 0, 1], steps=3, seed=2)
    for index, label in enumerate([1, 0, 1]):
        alone = generator.sample([label], steps=3, seed=2, indices=[index])
        assert np.abs(alone[0].astype(int) - both[index]).max() <= 1
    model = generator.denoiser
    loss = model.loss(
        torch.zeros(2, 3, 16, 16), torch.ones(2), torch.ones(2, 3, 16, 16), condition((1, 1), 16)
    )
    loss.mean().backward()
    first, second = model.network.networks
    assert all(p.grad is None for p in first.parameters())
    assert any(p.grad is not None and p.grad.any() for p in second.parameters())


def test_the_mask_channel_is_scaled_as_it_says():
    full, faint = (untrained("mask-guided", mask_scale=scale).denoiser.network for scale in (None, 1 / 255))
    asked = condition(size=16)
    assert full.features(asked).entry.unique().tolist() == [-1, 1]
    assert torch.allclose(faint.features(asked).entry * 255, full.features(asked).entry)
    assert full.entry.in_channels == 4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PAPERS)
def test_train_save_load_and_synthesise(recipe, tiles, patients, tmp_path):
    path = train_generator(tiles, patients, config(recipe), out=tmp_path / "run", device="cpu")
    generator = Generator.from_pretrained(path)
    assert generator.card.recipe.name == recipe
    assert generator.card.seen == [0, 1, 2]
    pool = synthesise(
        generator,
        tiles,
        tmp_path / "pool",
        config=SynthesisConfig(tiles=4, steps=2, batch=4, labels="balanced"),
    )
    (tile, *_) = pool.tiles()
    assert (tile.sampler, tile.steps) == ("ddpm", 2)
    assert (tile.mask is None) == (recipe == "per-class")


def test_an_ema_of_nothing_is_the_weights_themselves():
    assert config("mask-guided").optimisation(10).ema_fraction == 0
    assert config("unified").optimisation(10).ema_fraction == 0.05
    assert config("mask-guided", ema_fraction=0.05).ema_fraction == 0.05


@pytest.mark.slow
def test_the_objective_can_be_changed_alone(tiles, patients, tmp_path):
    swapped = config("mask-guided", objective="edm")
    path = train_generator(tiles, patients, swapped, out=tmp_path / "run", device="cpu")
    generator = Generator.from_pretrained(path)
    assert generator.denoiser.limit is None
    assert generator.denoiser.spectrum.variance.std() > 0
    assert untrained("unified", objective="epsilon").denoiser.limit == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "paper"}, "unified"),
        ({"recipe": "per-class", "mask_scale": 0.5}, "mask_scale"),
        ({"mask_scale": 0.5}, "mask_scale"),
        ({"recipe": "mask-guided", "masks": "none"}, "needs masks"),
        ({"recipe": "per-class", "drop": 0.1}, "drops nothing"),
    ],
)
def test_settings_of_another_recipe_are_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        GeneratorConfig.model_validate(changes)


def test_tiles_that_lack_what_the_recipe_needs(tiles, patients, tmp_path):
    grades = {p: set(tiles.labels[tiles.rows_of([p])].tolist()) for p in set(tiles.patients.tolist())}
    few = next(p for p, seen in sorted(grades.items()) if len(seen) < 3)
    with pytest.raises(InputError, match="no training tile of class grade"):
        train_generator(tiles, [few], config("per-class"), out=tmp_path / "a", device="cpu")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("recipe", "arguments", "words"),
    [
        ("per-class", {"labels": [0, None]}, "needs a class for each tile"),
        ("per-class", {"labels": [2]}, "label 2 is outside"),
        ("mask-guided", {"labels": [0]}, "needs a mask for each tile"),
        ("per-class", {"labels": [0], "guidance": {"class": 2}}, "`class` cannot guide"),
        ("per-class", {"labels": [0], "sigma_scale": 1.5}, "is of the recipe unified"),
        ("per-class", {"labels": [0], "steps": 1001}, "1001 steps; expected 1 to 1000"),
    ],
)
def test_requests_that_the_recipe_cannot_answer(recipe, arguments, words):
    with pytest.raises(InputError, match=words):
        untrained(recipe).sample(**{"steps": 1, **arguments})


def test_a_study_writes_the_sampling_of_its_recipe_into_the_protocol():
    generator = {"recipe": "mask-guided", "steps": 6}
    study = StudyConfig.model_validate(tiny_study(generator=generator, synthesis={"tiles": 12}))
    own = study.synthesis
    assert (own.sampler, own.steps, own.sigma_scale) == ("ddpm", 1000, 1)
    assert study.generator.ema_fraction == 0
    set_by_hand = {"tiles": 12, "sampler": "dpmpp-2m", "steps": 5}
    study = StudyConfig.model_validate(tiny_study(generator=generator, synthesis=set_by_hand))
    assert (study.synthesis.sampler, study.synthesis.steps) == ("dpmpp-2m", 5)
    assert StudyConfig.model_validate(tiny_study()).synthesis.sampler == "spectral"
