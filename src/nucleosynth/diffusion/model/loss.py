"""The training loss: the mean denoising loss of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.training.devices import autocast


def denoising_loss(
    denoiser: Denoiser,
    drawn: tuple[Tensor, Tensor, Tensor, Condition],
    device: torch.device,
    *,
    training: bool,
) -> Tensor:
    """Return the mean loss of a batch from `TrainingBatches.draw`."""
    pixels, sigma, noise, condition = drawn
    clean = denoiser.standardise(pixels.to(device, memory_format=torch.channels_last))
    moved = condition.to(device)
    with autocast(device, training=training):
        return denoiser.loss(clean, sigma.to(device), noise.to(device), moved).mean()
