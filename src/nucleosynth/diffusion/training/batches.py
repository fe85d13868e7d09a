"""Training batches of the generator: a function of (seed, step), augmented together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nucleosynth.data.crops import Crops, Mosaic
from nucleosynth.data.stain import jitter_stain, move_descriptor
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.model.conditioning import (
    Condition,
    dihedral,
    drop_planes,
    mask_planes,
    stain_vector,
)
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.seeds import rng
from nucleosynth.training.devices import autocast

FACTOR_SPREAD, SHIFT_SPREAD = 0.12, 0.02


@dataclass(frozen=True)
class TrainingBatches:
    """The batches of a training: tiles, conditions, noise levels and noise of each step.

    Noise levels are log-normal, or drawn uniformly from ``levels``. With ``one_class`` each batch has one
    class, in turn, so each class has the same number of batches and its own epochs. With a ``mosaic`` of the
    same rows, tiles are random crops across neighbours.
    """

    tiles: TileSet
    rows: npt.NDArray[np.int64]
    descriptors: npt.NDArray[np.float32]
    use_masks: bool
    size: int
    drop: float
    jitter: float
    p_mean: float
    p_std: float
    seed: int
    levels: npt.NDArray[np.float64] | None = None
    one_class: bool = False
    mosaic: Mosaic | None = None

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor, Condition]:
        """Return clean pixels (n, 3, h, w) float 0-255, sigma (n,), noise and condition, on the CPU."""
        draw = rng(self.seed, "batch", step)
        picked = self._picked(step)
        order = np.argsort(self.rows[picked], kind="stable")
        picked = picked[order]
        crops = self._read(step, picked)
        images, descriptors, jittered = self._stained(draw, crops.images, self.descriptors[picked])
        turns = torch.from_numpy(draw.integers(8, size=self.size))
        clean = dihedral(torch.from_numpy(images).permute(0, 3, 1, 2).float(), turns)
        planes = self._planes(draw, crops, turns)
        labels = self.tiles.labels[self.rows[picked]]
        label = np.where(draw.random(self.size) < self.drop, -1, labels)
        given = jittered | (draw.random(self.size) >= self.drop)
        stain = stain_vector(torch.from_numpy(descriptors), torch.from_numpy(given))
        sigma = self._sigma(draw).astype(np.float32)
        noise = draw.standard_normal(clean.shape, dtype=np.float32)
        condition = Condition(torch.from_numpy(label), planes, stain)
        return clean, torch.from_numpy(sigma), torch.from_numpy(noise), condition

    def _picked(self, step: int) -> npt.NDArray[np.int64]:
        if not self.one_class:
            return _epoch_rows(self.seed, step, self.size, len(self.rows))
        labels = self.tiles.labels[self.rows]
        classes = np.unique(labels)
        label = int(classes[step % len(classes)])
        members = np.flatnonzero(labels == label)
        turn = step // len(classes)
        return members[_epoch_rows(self.seed, turn, self.size, len(members), stream=f"epoch-{label}")]

    def _read(self, step: int, picked: npt.NDArray[np.int64]) -> Crops:
        if self.mosaic is not None:
            return self.mosaic.draw(picked, rng(self.seed, "crops", step))
        return Crops.of(self.tiles, self.rows[picked])

    def _sigma(self, draw: np.random.Generator) -> npt.NDArray[np.float64]:
        if self.levels is not None:
            return self.levels[draw.integers(len(self.levels), size=self.size)]
        return np.exp(self.p_mean + self.p_std * draw.standard_normal(self.size))

    def _stained(
        self, draw: np.random.Generator, images: npt.NDArray[np.uint8], descriptors: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Jitter the stain of some tiles and move their descriptors with it."""
        factors = np.exp(FACTOR_SPREAD * draw.standard_normal((len(images), 2))).astype(np.float32)
        shifts = (SHIFT_SPREAD * draw.standard_normal((len(images), 2))).astype(np.float32)
        chosen = draw.random(len(images)) < self.jitter
        if chosen.any():
            images, descriptors = images.copy(), descriptors.copy()
            images[chosen] = jitter_stain(images[chosen], factors[chosen], shifts[chosen])
            descriptors[chosen] = move_descriptor(descriptors[chosen], factors[chosen], shifts[chosen])
        return images, descriptors, chosen

    def _planes(self, draw: np.random.Generator, crops: Crops, turns: Tensor) -> Tensor:
        dropped = torch.from_numpy(draw.random(len(turns)) < self.drop)
        given = torch.from_numpy(crops.has_mask & self.use_masks)
        masks = dihedral(torch.from_numpy(crops.masks), turns)
        return drop_planes(mask_planes(masks, given), dropped)


def _epoch_rows(
    seed: int, step: int, size: int, count: int, *, stream: str = "epoch"
) -> npt.NDArray[np.int64]:
    """Return the ``size`` positions of a step: each epoch is a permutation of its own."""
    positions = np.arange(step * size, (step + 1) * size)
    epochs = positions // count
    picked = np.empty(size, np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        picked[chosen] = rng(seed, stream, int(epoch)).permutation(count)[positions[chosen] % count]
    return picked


def denoising_loss(
    denoiser: Denoiser,
    drawn: tuple[Tensor, Tensor, Tensor, Condition],
    device: torch.device,
    *,
    training: bool,
) -> Tensor:
    """Return the mean loss of a batch as `TrainingBatches.draw` gives it."""
    pixels, sigma, noise, condition = drawn
    clean = denoiser.standardise(pixels.to(device, memory_format=torch.channels_last))
    moved = condition.to(device)
    with autocast(device, training=training):
        return denoiser.loss(clean, sigma.to(device), noise.to(device), moved).mean()
