"""Draw one batch by a sampling plan: noise levels, guided denoiser, sampler, and initial pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.ddpm_schedule import spaced_sigmas
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.sampling.guidance import guided, within
from nucleosynth.diffusion.sampling.plan import SIGMA_MAX, SamplingPlan, active_terms
from nucleosynth.diffusion.sampling.solvers import Denoise, Noise, karras_sigmas, rescaled_sigma

OnStep = Callable[[int, int, Tensor], None]
"""``on_step(step, steps, estimate)``: called at each noise level, from 1 to ``steps``, with the clean
estimate (n, 3, h, w) of standardised pictures."""


def noise_levels(plan: SamplingPlan, denoiser: Denoiser) -> Tensor:
    """Return the noise levels, (steps + 1,), the last one zero.

    A student has its own; DDIM and DDPM use the schedule of DDPM if the denoiser was trained on it.
    """
    if plan.levels is not None:
        return torch.tensor([*plan.levels[: plan.steps], 0.0])
    if plan.sampler.on_schedule and denoiser.limit is not None:
        return torch.from_numpy(spaced_sigmas(plan.steps)).float()
    return karras_sigmas(plan.steps, sigma_max=plan.variation or SIGMA_MAX)


def draw(
    plan: SamplingPlan,
    denoiser: Denoiser,
    condition: Condition,
    noise: Noise,
    *,
    origins: Tensor | None = None,
    early: Denoiser | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Draw a batch of standardised pictures, (n, 3, h, w).

    Parameters
    ----------
    noise
        ``noise(step)``: (n, 3, h, w) standard normal.
    origins
        Standardised pictures to make variations of.
    early
        Earlier model of the same training, for the guidance term ``auto``.
    on_step
        Called at every noise level, see `OnStep`.
    """
    spectrum = getattr(denoiser, "spectrum", None)
    sampler = plan.sampler.load()
    if plan.sampler.starts_at == "spectrum":
        sampler = partial(sampler, spectrum=spectrum)
    sigmas = noise_levels(plan, denoiser)
    if origins is not None:
        noise = _noised(plan, origins, sigmas[0], noise, spectrum)
    denoise = planned_denoiser(plan, denoiser, condition, early=early)
    if on_step is not None:
        denoise = _reporting(denoise, sigmas, on_step)
    pictures: Tensor = sampler(denoise, sigmas, noise)
    return pictures


def planned_denoiser(
    plan: SamplingPlan, denoiser: Denoiser, condition: Condition, *, early: Denoiser | None = None
) -> Denoise:
    """Return the denoiser of one batch: conditioned, guided and kept within the range of pixels."""
    result = rescaled_sigma(guided(denoiser, condition, plan.guidance, early=early), plan.sigma_scale)
    if plan.guidance_interval is not None and active_terms(plan.guidance):
        plain = rescaled_sigma(guided(denoiser, condition, {}), plan.sigma_scale)
        result = within(result, plain, plan.guidance_interval)
    return clipped(result, denoiser.limit)


def clipped(denoise: Denoise, limit: float | None) -> Denoise:
    """Clip estimates to the range of pixels, as DDPM does in sampling; None does not clip."""
    if limit is None:
        return denoise
    return lambda x, sigma: denoise(x, sigma).clamp(-limit, limit)


def _noised(
    plan: SamplingPlan, origins: Tensor, sigma: Tensor, noise: Noise, spectrum: Spectrum | None
) -> Noise:
    """Return the first noise that makes the sampler begin with the noised origins."""
    noised = origins + sigma * noise(0)
    if plan.sampler.starts_at == "spectrum" and spectrum is not None:
        first = spectrum.pixels(spectrum.modes(noised) / (spectrum.variance + sigma**2).sqrt())
    else:
        first = noised / (1 + sigma**2).sqrt() if plan.sampler.starts_at == "unit" else noised / sigma
    return lambda step: noise(step) if step else first


def _reporting(denoise: Denoise, sigmas: Tensor, on_step: OnStep) -> Denoise:
    """Call ``on_step`` after the first evaluation at each noise level."""
    levels = sigmas[:-1].tolist()
    reported = 0

    def watched(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal reported
        estimate = denoise(x, sigma)
        if reported < len(levels) and float(sigma[0]) <= levels[reported] * (1 + 1e-6):
            reported += 1
            on_step(reported, len(levels), estimate)
        return estimate

    return watched
