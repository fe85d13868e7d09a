"""The validation loss, on patients held out inside the training part: it shows overfitting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nucleosynth.data.split import grouped_folds
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.training.batches import TrainingBatches, denoising_loss

FEWEST_PATIENTS = 10
"""With fewer patients none is held out, as each is needed for training."""
BATCHES = 24
APART = 200
"""Steps between two checks; one check takes as long as eight steps."""


def held_out_patients(tiles: TileSet, patients: Sequence[str], *, share: float, seed: int) -> list[str]:
    """Choose about ``share`` of the patients, with a class mix like that of all.

    None if there are fewer than ten patients, or if a class would have no training tiles left.
    """
    if share == 0 or len(patients) < FEWEST_PATIENTS:
        return []
    rows = tiles.rows_of(patients)
    owners, labels = tiles.patients[rows], tiles.labels[rows]
    for fold in grouped_folds(owners.tolist(), labels, folds=round(1 / share), seed=seed):
        if set(labels[~np.isin(owners, fold)]) == set(labels):
            return fold
    return []


def held_out_loss(
    with_weights: Callable[[dict[str, Tensor]], Denoiser], batches: TrainingBatches, device: torch.device
) -> Callable[[dict[str, Tensor]], float]:
    """Return the loss of given weights on the same tiles, noise levels and noise each time."""

    def loss(weights: dict[str, Tensor]) -> float:
        denoiser = with_weights(weights).to(device).eval()
        with torch.inference_mode():
            losses = [
                denoising_loss(denoiser, batches.draw(step), device, training=False)
                for step in range(BATCHES)
            ]
        return float(torch.stack(losses).mean())

    return loss
