"""Every sampler against closed forms, and the one contract that holds for all of them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch

from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig, stated_sampling
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.recipes import RECIPES, get_recipe
from nucleosynth.diffusion.recipes.samplers import SAMPLERS, STUDENT_SAMPLER, Sampler
from nucleosynth.diffusion.recipes.unified import Unified
from nucleosynth.diffusion.sampling.solvers import ddim, dpmpp_2m, dpmpp_2m_sde, heun, karras_sigmas, spectral
from nucleosynth.errors import InputError

MEAN, STD = 0.7, 0.3
EVALUATIONS = {"heun": 11}  # of six steps; of all others six


def gaussian(x, sigma):
    s = sigma[:, None, None, None]
    return (STD**2 * x + s**2 * MEAN) / (STD**2 + s**2)


def two_points(x, sigma):
    """The exact denoiser of pixels that are -1 or 1, each alone."""
    return torch.tanh(x / sigma[:, None, None, None] ** 2)


def numbered_noise(count, *, seed=0, dtype=torch.float64):
    """Return noise that depends on sample and step, and a list of the requested steps."""
    asked = []

    def noise(step, rows=slice(None)):
        asked.append(step)
        drawn = [
            torch.randn(
                3, 8, 8, generator=torch.Generator().manual_seed(1000 * seed + 50 * step + i), dtype=dtype
            )
            for i in range(count)
        ]
        return torch.stack(drawn)[rows]

    return noise, asked


def test_every_recipe_names_a_sampler_that_there_is():
    assert {get_recipe(name).sampler for name in RECIPES} <= set(SAMPLERS)
    assert all(get_recipe(name).name == name and SAMPLERS.get(get_recipe(name).sampler) for name in RECIPES)
    assert all(SAMPLERS.get(name).name == name and callable(SAMPLERS.get(name).load()) for name in SAMPLERS)


def test_a_sampler_and_a_recipe_are_added_by_one_line(monkeypatch):
    for registry in (SAMPLERS, RECIPES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    SAMPLERS.register("own", Sampler("own", "nucleosynth.diffusion.sampling.solvers:ddim", steps=3))
    RECIPES.register("own", type("Own", (Unified,), {"name": "own", "sampler": "own"})())
    assert get_recipe("own").defaults() == {"sampler": "own", "steps": 3, "sigma_scale": 1.0}
    config = GeneratorConfig.model_validate({"recipe": "own", "steps": 2})
    assert config.model_dump(mode="json")["recipe"] == "own"
    assert SynthesisConfig(sampler="own").sampler == "own"


@pytest.mark.parametrize("name", SAMPLERS)
class TestContract:
    def test_repeats_and_does_not_depend_on_the_batch(self, name):
        noise, _ = numbered_noise(5)
        sigmas = karras_sigmas(6).double()
        whole = SAMPLERS.get(name).load()(two_points, sigmas, noise)
        assert whole.shape == (5, 3, 8, 8)
        assert torch.equal(whole, SAMPLERS.get(name).load()(two_points, sigmas, noise))
        part = SAMPLERS.get(name).load()(two_points, sigmas, lambda step: noise(step, slice(2, 4)))
        assert torch.equal(part, whole[2:4])
        other, _ = numbered_noise(5, seed=1)
        assert not torch.equal(whole, SAMPLERS.get(name).load()(two_points, sigmas, other))

    def test_asks_for_noise_once_a_step_and_evaluates_as_often_as_it_says(self, name):
        noise, asked = numbered_noise(2)
        levels = []

        def denoise(x, sigma):
            levels.append(float(sigma[0]))
            assert sigma.shape == (2,)
            return gaussian(x, sigma)

        SAMPLERS.get(name).load()(denoise, karras_sigmas(6).double(), noise)
        stochastic = name in ("dpmpp-2m-sde", "ddpm", STUDENT_SAMPLER)
        assert asked == (list(range(6)) if stochastic else [0])
        assert len(levels) == EVALUATIONS.get(name, 6)
        assert min(levels) > 0

    @pytest.mark.parametrize("steps", [1, 2, 6])
    def test_ends_on_what_the_denoiser_is_sure_of(self, name, steps):
        noise, _ = numbered_noise(2, dtype=torch.float32)
        made = SAMPLERS.get(name).load()(
            lambda x, sigma: torch.full_like(x, 0.4), karras_sigmas(steps), noise
        )
        assert made.dtype == torch.float32
        assert torch.allclose(made, torch.full_like(made, 0.4), atol=1e-5)


@pytest.mark.parametrize(("sampler", "order"), [(heun, 2), (dpmpp_2m, 2), (ddim, 1)])
def test_order_of_convergence(sampler, order):
    """For Gaussian data the probability-flow ODE has the closed solution x = mean + c sqrt(std^2 + s^2)."""
    noise, _ = numbered_noise(2)

    def error(steps):
        sigmas = karras_sigmas(steps + 1, sigma_min=0.05, sigma_max=20).double()
        start, lowest = noise(0) * sigmas[0] - MEAN, sigmas[-2]
        exact = MEAN + start * ((STD**2 + lowest**2) / (STD**2 + sigmas[0] ** 2)).sqrt()
        seen = []

        def watched(x, sigma):
            seen.append(x)
            return gaussian(x, sigma)

        sampler(watched, sigmas, noise)
        return float((seen[-1] - exact).abs().max())  # what the last step, to zero, began with

    errors = [error(steps) for steps in (40, 80, 160, 320)]
    found = [torch.tensor(a / b).log2().item() for a, b in pairwise(errors)]
    assert found[-1] == pytest.approx(order, abs=0.25)


def test_the_deterministic_samplers_agree_in_the_limit():
    noise, _ = numbered_noise(4)
    sigmas = karras_sigmas(400).double()
    reference = heun(two_points, sigmas, noise)
    assert float((reference.abs() > 0.99).double().mean()) > 0.95  # they end on the two points
    for sampler in (dpmpp_2m, ddim, partial(spectral, spectrum=Spectrum.flat(8).double())):
        assert float((sampler(two_points, sigmas, noise) - reference).abs().mean()) < 0.01


def falling_spectrum(size=8):
    """Slow modes with thousands of times the variance of fast ones, and colours that are turned."""
    variance = torch.exp(torch.linspace(6, -5, size, dtype=torch.float64)).expand(3, size, size)
    colours = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    return Spectrum(colours, variance).double()


def linear_denoiser(spectrum):
    """The exact denoiser of Gaussian tissue of a spectrum."""

    def denoise(x, sigma):
        s = sigma[:, None, None, None]
        return spectrum.pixels(spectrum.variance / (spectrum.variance + s**2) * spectrum.modes(x))

    return denoise


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_spectral_draws_gaussian_tissue_exactly_in_any_number_of_steps(steps):
    """Up to the last noise level, below which the denoiser itself ends: a mode keeps v / (v + s^2) of it."""
    spectrum, sigmas = falling_spectrum(), karras_sigmas(steps).double()
    noise, _ = numbered_noise(3)
    made = spectral(linear_denoiser(spectrum), sigmas, noise, spectrum=spectrum)
    drawn = spectrum.modes(noise(0)) * (spectrum.variance / (spectrum.variance + sigmas[-2] ** 2).sqrt())
    assert float(((spectrum.modes(made) - drawn).abs() / spectrum.variance.sqrt()).max()) < 1e-4


def test_ten_steps_of_others_leave_another_spectrum():
    spectrum, sigmas = falling_spectrum(), karras_sigmas(10).double()
    noise, _ = numbered_noise(400)

    def powers(sampler):
        modes = spectrum.modes(sampler(linear_denoiser(spectrum), sigmas, noise))
        left = spectrum.variance**2 / (spectrum.variance + sigmas[-2] ** 2)  # by the last estimate
        return (modes.square().mean(0) / left).mean(dim=(0, 1))  # (8,) from slow to fast

    exact, other = powers(partial(spectral, spectrum=spectrum)), powers(dpmpp_2m_sde)
    assert 0.9 < float(exact.min()) < float(exact.max()) < 1.1
    assert float(other.max()) > 1.25
    assert float(other.min()) < 0.75


def test_spectral_without_variance_is_ddim():
    noise, _ = numbered_noise(3)
    sigmas = karras_sigmas(6).double()
    expected = ddim(two_points, sigmas, noise)
    nothing = Spectrum(torch.eye(3), torch.full((3, 8, 8), 1e-12)).double()
    assert torch.allclose(spectral(two_points, sigmas, noise, spectrum=nothing), expected, atol=1e-6)
    assert torch.equal(spectral(two_points, sigmas, noise), expected)


def test_spectral_does_not_depend_on_the_batch():
    noise, _ = numbered_noise(5)
    draw = partial(spectral, two_points, karras_sigmas(6).double(), spectrum=falling_spectrum())
    part = draw(lambda step: noise(step, slice(2, 4)))
    assert torch.allclose(part, draw(noise)[2:4], atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != STUDENT_SAMPLER])
def test_every_sampler_reproduces_mean_and_variance_of_a_gaussian(name):
    generator = torch.Generator().manual_seed(0)

    def noise(step):
        return torch.randn(2, 3, 64, 64, generator=generator)

    made = SAMPLERS.get(name).load()(gaussian, karras_sigmas(400), noise)
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(made.std()) == pytest.approx(STD, rel=0.05)


def test_what_is_not_set_is_the_recipes_own():
    assert get_recipe("unified").defaults() == {"sampler": "spectral", "steps": 10, "sigma_scale": 1.0}
    assert get_recipe("per-class").defaults() == {"sampler": "ddpm", "steps": 1000, "sigma_scale": 1.0}
    assert get_recipe("mask-guided").defaults("ddim")["steps"] == 50
    stated = stated_sampling({"steps": 7, "sampler": None}, "mask-guided")
    assert stated == {"sampler": "ddpm", "steps": 7, "sigma_scale": 1.0}
    with pytest.raises(
        InputError, match=r"unknown recipe 'paper'; .*known are unified, mask-guided, per-class"
    ):
        get_recipe("paper")
    with pytest.raises(InputError, match=r"unknown sampler 'euler'; .*known are spectral, dpmpp-2m"):
        get_recipe("unified").defaults("euler")
