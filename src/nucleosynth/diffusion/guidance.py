"""Guidance: push away from the estimates that lack the class or the mask."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nucleosynth.diffusion.conditioning import Condition
from nucleosynth.diffusion.denoiser import Denoiser
from nucleosynth.diffusion.samplers import Denoise
from nucleosynth.errors import InputError

TERMS = ("class", "mask")


def guided(denoiser: Denoiser, condition: Condition, weights: Mapping[str, float]) -> Denoise:
    """Return ``D + (w_c - 1)(D - D_without_class) + (w_m - 1)(D - D_without_mask)``.

    The two terms share evidence, so this is a practical rule, not a factorisation. A weight of 1 is off and
    costs nothing; all branches of a step go through the network as one batch.
    """
    unknown = sorted(set(weights) - set(TERMS))
    if unknown:
        raise InputError(f"guidance: unknown term `{unknown[0]}`; use `class` and `mask`")
    active = [name for name in TERMS if weights.get(name, 1.0) != 1.0]
    joined = Condition.join([condition, *(condition.without(name) for name in active)])

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        copies = 1 + len(active)
        full, *lacking = denoiser(x.repeat(copies, 1, 1, 1), sigma.repeat(copies), joined).chunk(copies)
        result: Tensor = full
        for name, estimate in zip(active, lacking, strict=True):
            result = torch.add(result, full - estimate, alpha=weights[name] - 1)
        return result

    return denoise
