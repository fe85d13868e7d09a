"""Guidance: away from the estimates without class or mask, or from those of an earlier model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.sampling.plan import AUTO, active_terms
from nucleosynth.diffusion.sampling.solvers import Denoise
from nucleosynth.errors import InputError


def guided(
    denoiser: Denoiser, condition: Condition, weights: Mapping[str, float], *, early: Denoiser | None = None
) -> Denoise:
    """Return ``D + (w_c - 1)(D - D_without_class) + (w_m - 1)(D - D_without_mask) + (w_a - 1)(D - D_bad)``.

    The terms overlap, so this is a practical rule, not a factorisation. A weight of 1 is off and costs
    nothing; all branches of one network are evaluated as one batch. The features of the condition are
    computed here, once for all steps. Noise levels may stay on the CPU, so that no step waits for the device.

    Parameters
    ----------
    early
        An earlier state of the same training, for the term ``auto`` (Karras et al. 2024, "Guiding a diffusion
        model with a bad version of itself", eq. 3).
    """
    active = active_terms(weights)
    if AUTO in active and early is None:
        raise InputError("guidance.auto: needs an earlier model of the same training; give `early`")
    lacking = [name for name in active if name != AUTO]
    features = denoiser.prepare(Condition.join([condition, *(condition.without(name) for name in lacking)]))
    early_features = early.prepare(condition) if early is not None and AUTO in active else None

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        copies, sigma = 1 + len(lacking), sigma.to(x.device)
        if copies == 1:
            full = denoiser(x, sigma, features)
            others = []
        else:
            full, *others = denoiser(x.repeat(copies, 1, 1, 1), sigma.repeat(copies), features).chunk(copies)
        if early is not None and early_features is not None:
            others = [*others, early(x, sigma, early_features)]
        result: Tensor = full
        for name, estimate in zip(active, others, strict=True):
            result = torch.add(result, full - estimate, alpha=weights[name] - 1)
        return result

    return denoise


def within(guided: Denoise, plain: Denoise, interval: tuple[float, float]) -> Denoise:
    """Guide only at noise levels within the interval, bounds included; elsewhere guidance costs nothing.

    Each call has one noise level, as in samplers. Source: Kynkäänniemi et al. 2024, "Applying guidance in a
    limited interval improves sample and distribution quality in diffusion models", eq. 6.
    """
    low, high = interval
    return lambda x, sigma: guided(x, sigma) if low <= float(sigma[0]) <= high else plain(x, sigma)
