"""Preconditioning and the spectrum against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum, cosine_matrix
from nucleosynth.diffusion.sampling.solvers import karras_sigmas, rescaled_sigma


class Constant(nn.Module):
    """Stands for a network: answers with the label and the interior plane."""

    def forward(self, x, c_noise, condition):
        return (
            torch.zeros_like(x)
            + condition.label[:, None, None, None]
            + condition.planes[:, :1].mean(dim=(2, 3), keepdim=True)
        )


class Silent(nn.Module):
    """A network that has learned nothing."""

    def forward(self, x, c_noise, condition):
        return torch.zeros_like(x)


def condition(n=2, label=1, size=8):
    masks = torch.ones(n, size, size)
    return Condition(
        torch.full((n,), label),
        mask_planes(masks, torch.ones(n, dtype=torch.bool)),
        stain_vector(torch.zeros(n, 6), torch.ones(n, dtype=torch.bool)),
    )


def denoiser(network=None):
    return Denoiser(
        network or Constant(),
        mean=torch.tensor([0.5, 0.4, 0.6]),
        std=torch.tensor([0.2, 0.1, 0.3]),
        spectrum=Spectrum.flat(8),
    )


def test_preconditioning_at_its_limits():
    x = torch.randn(2, 3, 8, 8)
    clean = denoiser()(x, torch.full((2,), 1e-4), condition())
    assert torch.allclose(clean, x, atol=1e-3)
    far = denoiser()(1e4 * x, torch.full((2,), 1e4), condition())
    assert torch.allclose(far, torch.full_like(x, 2.0), atol=1e-2)


def test_the_loss_weighs_the_network_output_by_one():
    clean, noise, sigma = (
        torch.randn(4, 3, 8, 8),
        torch.randn(4, 3, 8, 8),
        torch.tensor([0.05, 0.5, 2.0, 20.0]),
    )
    s = sigma[:, None, None, None]
    target = (clean - (clean + s * noise) / (s**2 + 1)) / (s / (s**2 + 1).sqrt())
    expected = (2.0 - target).pow(2).mean(dim=(1, 2, 3))
    found = denoiser().loss(clean, sigma, noise, condition(4))
    assert torch.allclose(found, expected, rtol=1e-3)


def test_fine_modes_count_more_than_their_variance():
    """An error as large as its mode weighs as the root of the mode's variance, not as the variance."""
    variance = torch.ones(3, 8, 8)
    variance[:, 4:, 4:] = 0.01
    model = Denoiser(
        Constant(), mean=torch.zeros(3), std=torch.ones(3), spectrum=Spectrum(torch.eye(3), variance)
    )
    found = []
    for row, size in ((1, 1.0), (6, 0.1)):
        modes = torch.zeros(1, 3, 8, 8)
        modes[:, 0, row, row] = size
        found.append(float(model.losses(model.spectrum.pixels(modes), torch.tensor([100.0]))))
    slow, fine = found
    assert fine / slow == pytest.approx(0.1, rel=1e-2)


def test_pixels_round_trip():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    model = denoiser()
    assert torch.equal(model.to_pixels(model.standardise(pixels)), pixels)


def test_sigmas_fall_from_the_highest_to_zero():
    sigmas = karras_sigmas(10, sigma_min=0.01, sigma_max=50)
    assert sigmas[0] == pytest.approx(50)
    assert sigmas[-2] == pytest.approx(0.01)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_a_rescaled_noise_level_reaches_the_denoiser_only_where_texture_is_decided():
    levels = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        levels.extend(sigma.tolist())
        return x

    rescaled_sigma(denoise, 1.5)(torch.zeros(2, 3, 8, 8), torch.tensor([0.5, 10.0]))
    assert levels == [0.75, 10.0]
    assert rescaled_sigma(denoise, 1) is denoise


def test_modes_are_orthonormal_and_come_back():
    matrix = cosine_matrix(8)
    assert torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6)
    pictures = torch.randn(5, 3, 8, 8) * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    fitted = Spectrum.fit(pictures)
    assert torch.allclose(fitted.pixels(fitted.modes(pictures)), pictures, atol=1e-5)


def test_whitened_pictures_have_the_same_variance_in_every_mode():
    generator = torch.Generator().manual_seed(2)
    truth = Spectrum(torch.eye(3), 4.0 / (1 + torch.arange(16)[:, None] + torch.arange(16)).expand(3, 16, 16))
    clean = truth.pixels(truth.variance.sqrt() * torch.randn(400, 3, 16, 16, generator=generator))
    white = truth.modes(truth.whitened(clean, grain=0.0)).square().mean(0)
    assert torch.allclose(white, torch.ones_like(white), atol=0.35)
    weak = truth.modes(truth.whitened(clean, grain=10.0)).square().mean(0)
    assert torch.allclose(weak, truth.variance / (truth.variance + 100), rtol=0.35)


def test_a_silent_network_leaves_the_best_linear_denoiser():
    """Gaussian pictures of a known spectrum: no linear denoiser has a smaller error than the fitted one."""
    generator = torch.Generator().manual_seed(1)
    truth = Spectrum(torch.eye(3), 4.0 / (1 + torch.arange(16)[:, None] + torch.arange(16)).expand(3, 16, 16))
    clean = truth.pixels(truth.variance.sqrt() * torch.randn(400, 3, 16, 16, generator=generator))
    fitted = Spectrum.fit(clean)
    sigma, noise = torch.full((400,), 0.7), torch.randn(400, 3, 16, 16, generator=generator)
    silent = Denoiser(Silent(), mean=torch.zeros(3), std=torch.ones(3), spectrum=fitted)
    found = (silent(clean + 0.7 * noise, sigma, condition(400, size=16)) - clean).square().mean()
    least = (truth.variance * 0.49 / (truth.variance + 0.49)).mean()
    plain = (1 * (clean + 0.7 * noise) / 1.49 - clean).square().mean()
    assert float(found) == pytest.approx(float(least), rel=0.05)
    assert float(found) < 0.9 * float(plain)
