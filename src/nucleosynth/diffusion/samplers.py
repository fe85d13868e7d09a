"""Samplers: plain functions from a denoiser, noise levels and noise to pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x, sigma)``: (n, 3, h, w) noisy pictures and (n,) noise levels to clean estimates."""

SIGMA_MIN, SIGMA_MAX = 0.01, 60.0


def karras_sigmas(
    steps: int, *, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = 7.0
) -> Tensor:
    """Return ``steps`` noise levels from high to low and a closing zero (Karras et al. 2022, eq. 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)]).float()


def dpmpp_2m(denoise: Denoise, sigmas: Tensor, noise: Tensor) -> Tensor:
    """DPM-Solver++(2M): second order from one evaluation a step.

    Parameters
    ----------
    sigmas
        (steps + 1,) falling, the last one zero.
    noise
        (n, 3, h, w) standard normal.

    Source: Lu et al. 2022, "DPM-Solver++", algorithm 2, with lambda = -log sigma.
    """
    x = noise * sigmas[0]
    before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        now, target = sigmas[i], sigmas[i + 1]
        estimate = denoise(x, now.expand(len(x)))
        if target == 0:
            return estimate
        h = (now / target).log()
        direction = estimate
        if before is not None:
            r = (sigmas[i - 1] / now).log() / h
            direction = (1 + 1 / (2 * r)) * estimate - before / (2 * r)
        x = (target / now) * x - torch.expm1(-h) * direction
        before = estimate
    return x
