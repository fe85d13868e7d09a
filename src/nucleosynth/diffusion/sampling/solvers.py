"""The samplers: functions from a denoiser, noise levels and noise to pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.sampling.plan import SIGMA_MAX, SIGMA_MIN

Denoise = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x, sigma)``: (n, 3, h, w) noisy pictures and (n,) noise levels to clean estimates."""

Noise = Callable[[int], Tensor]
"""``noise(step)``: (n, 3, h, w) standard normal, its own for each step; step 0 is where sampling starts."""

RHO = 5.0
RESCALED_BELOW = 2.0


def karras_sigmas(
    steps: int, *, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = RHO
) -> Tensor:
    """Return ``steps`` noise levels from high to low and a closing zero (Karras et al. 2022, eq. 5).

    The paper uses rho 7; with ten steps, 5 gives more steps to the levels that form the texture of tissue.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)]).float()


def _last(sigmas: Tensor) -> int:
    """Return the number of the step that ends at zero; by position, as reading a level waits for the GPU."""
    return len(sigmas) - 2


def dpmpp_2m(denoise: Denoise, sigmas: Tensor, noise: Noise, *, eta: float = 0.0) -> Tensor:
    """Sample by DPM-Solver++(2M): second order with one evaluation per step.

    Parameters
    ----------
    sigmas
        (steps + 1,) falling, the last one zero.
    eta
        0 solves the ordinary differential equation. 1 solves the stochastic one, whose fresh noise lets later
        steps correct the errors of earlier ones.

    Source: Lu et al. 2022, "DPM-Solver++", algorithm 2 and, for eta = 1, SDE-DPM-Solver++(2M) of its
    appendix, with lambda = -log sigma.
    """
    x = noise(0) * sigmas[0]
    before: Tensor | None = None
    for i, (now, target) in enumerate(pairwise(sigmas)):
        estimate = denoise(x, now.expand(len(x)))
        if i == _last(sigmas):
            return estimate
        h = (now / target).log()
        direction = estimate
        if before is not None:
            r = (sigmas[i - 1] / now).log() / h
            direction = estimate + (estimate - before) / (2 * r)
        x = (target / now) * (-eta * h).exp() * x - torch.expm1(-(1 + eta) * h) * direction
        if eta:
            x = x + target * (-torch.expm1(-2 * eta * h)).sqrt() * noise(i + 1)
        before = estimate
    return x


def dpmpp_2m_sde(denoise: Denoise, sigmas: Tensor, noise: Noise) -> Tensor:
    """Sample by `dpmpp_2m` with the stochastic equation."""
    return dpmpp_2m(denoise, sigmas, noise, eta=1.0)


def heun(denoise: Denoise, sigmas: Tensor, noise: Noise) -> Tensor:
    """Sample by Heun's method: two evaluations per step, one in the last (Karras et al. 2022, alg. 1)."""
    x = noise(0) * sigmas[0]
    for i, (now, target) in enumerate(pairwise(sigmas)):
        slope = (x - denoise(x, now.expand(len(x)))) / now
        ahead = x + (target - now) * slope
        if i < _last(sigmas):
            slope = (slope + (ahead - denoise(ahead, target.expand(len(x)))) / target) / 2
            ahead = x + (target - now) * slope
        x = ahead
    return x


def ddim(denoise: Denoise, sigmas: Tensor, noise: Noise) -> Tensor:
    """Sample by DDIM, first order (Song et al. 2021, "Denoising diffusion implicit models", eq. 12)."""
    x = noise(0) * sigmas[0]
    for now, target in pairwise(sigmas):
        x = torch.lerp(denoise(x, now.expand(len(x))), x, target / now)
    return x


def spectral(denoise: Denoise, sigmas: Tensor, noise: Noise, *, spectrum: Spectrum | None = None) -> Tensor:
    """Sample by DDIM with an exact linear part: for Gaussian tissue the spectrum is right at any step count.

    The main part of a denoiser of tissue is the best linear denoiser, which keeps ``v / (v + s^2)`` of a mode
    of variance ``v``. `ddim` treats the whole estimate as constant over a step. Here only the rest beyond the
    linear part is treated so; the equation of a mode, ``dy/ds = s / (v + s^2) y - beyond / s``, is then
    solved in closed form. The first picture is ``sqrt(v + s^2)`` times noise: tissue and noise together.

    Parameters
    ----------
    spectrum
        Spectrum of the denoiser; None: all variances zero, which is `ddim`.

    Source: an exponential integrator as in Lu et al. 2022, "DPM-Solver", with the spectrum of tissue in place
    of zero variance; the variance is ours.
    """
    if spectrum is None:
        return ddim(denoise, sigmas, noise)
    variance, deviation = spectrum.variance, spectrum.variance.sqrt()

    def spread(sigma: Tensor) -> Tensor:
        return (variance + sigma**2).sqrt()

    def passed(sigma: Tensor) -> Tensor:
        return torch.asinh(deviation / sigma) / deviation

    y = spectrum.modes(noise(0)) * spread(sigmas[0])
    for i, (now, target) in enumerate(pairwise(sigmas)):
        estimate = denoise(spectrum.pixels(y), now.expand(len(y)))
        if i == _last(sigmas):
            return estimate
        beyond = spectrum.modes(estimate) - variance / spread(now) ** 2 * y
        y = spread(target) * (y / spread(now) + (passed(target) - passed(now)) * beyond)
    return spectrum.pixels(y)


def ddpm(denoise: Denoise, sigmas: Tensor, noise: Noise) -> Tensor:
    """Sample by ancestral sampling: the posterior of Ho et al. 2020, eq. 6 and 7, between any noise levels.

    The first picture has the unit variance of their x_T, which here is ``1 + sigma^2``.
    """
    x = noise(0) * (1 + sigmas[0] ** 2).sqrt()
    for i, (now, target) in enumerate(pairwise(sigmas)):
        kept = (target / now) ** 2
        x = torch.lerp(denoise(x, now.expand(len(x))), x, kept)
        if i < _last(sigmas):
            x = x + target * (1 - kept).sqrt() * noise(i + 1)
    return x


def consistency(denoise: Denoise, sigmas: Tensor, noise: Noise) -> Tensor:
    """Sample by a student: make a tile, add fresh noise at the next level, make it again.

    Source: Song et al. 2023, "Consistency models", algorithm 1.
    """
    x = noise(0) * sigmas[0]
    for i, (now, target) in enumerate(pairwise(sigmas)):
        x = denoise(x, now.expand(len(x)))
        if i < _last(sigmas):
            x = x + target * noise(i + 1)
    return x


def rescaled_sigma(denoise: Denoise, scale: float) -> Denoise:
    """Rescale the noise level that the denoiser is given, ``scale`` times, below sigma = 2.

    During sampling a network's own errors act as noise that the schedule does not include (exposure bias),
    more so after a short training. With a higher noise level the network removes them. This is done only at
    low noise, which forms texture: above, the scale of the data (unit variance) would be lost.

    Source: the idea of Li et al. 2024, "Alleviating exposure bias in diffusion models through sampling with
    shifted time steps"; the rule is ours.
    """
    if scale == 1:
        return denoise
    return lambda x, sigma: denoise(x, torch.where(sigma < RESCALED_BELOW, scale * sigma, sigma))
