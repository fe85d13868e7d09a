"""Batches of the segmenter's training: crops at many scales and in many stains, a function of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.data.stain import jitter_stain, od_to_rgb, rgb_to_od
from nucleosynth.seeds import rng
from nucleosynth.segmentation.learned.annotated import DEPTH_UNIT, Picture, padded
from nucleosynth.segmentation.learned.config import NETWORK_MPP, AugmentationConfig

LARGEST_BLUR, LARGEST_NOISE = 1.2, 8.0
RICHER = 0.7


@dataclass(frozen=True)
class TrainingCrops:
    """The training batches of a segmenter, a function of the step.

    Attributes
    ----------
    parts
        Pictures of each part of the training data.
    shares
        How often each part is drawn; within a part, pictures are drawn by area.
    size
        Edge of a crop in px of 0.5 µm.
    """

    parts: Sequence[Sequence[Picture]]
    shares: Sequence[float]
    augmentation: AugmentationConfig
    size: int
    batch: int
    seed: int

    @cached_property
    def _pictures(self) -> list[tuple[float, list[NDArray[np.uint8]]]]:
        largest = self.size * NETWORK_MPP * self.augmentation.scale[1]
        listed = [picture for part in self.parts for picture in part]
        return [(p.mpp, list(padded(p, int(largest / p.mpp) + 2))) for p in listed]

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        chances = []
        for part, share in zip(self.parts, self.shares, strict=True):
            areas = np.array([p.labels.size * p.mpp**2 for p in part], float)
            chances.append(share * areas / areas.sum())
        joined = np.concatenate(chances)
        return np.asarray(joined / joined.sum())

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return pixels (n, 3, size, size) in [-1, 1] and depth (n, 2, size, size): see `SegmenterNet`."""
        draw = rng(self.seed, "crops", step)
        cut = [self._crop(draw) for _ in range(self.batch)]
        pixels = _stained(draw, np.stack([pixels for pixels, _ in cut]), self.augmentation)
        depth = torch.from_numpy(np.stack([depth for _, depth in cut]))
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        pictures = _optics(draw, pictures, self.augmentation)
        _paint_blanks(draw, pictures, depth, self.augmentation.blank)
        return pictures.clamp_(0, 255).div_(127.5).sub_(1), depth

    def _crop(self, draw: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        from PIL import Image

        mpp, layers = self._pictures[draw.choice(len(self._chances), p=self._chances)]
        low, high = np.log(self.augmentation.scale)
        zoom = (
            NETWORK_MPP * float(np.exp(draw.uniform(low, high))) / mpp
        )  # px of the picture per px of the crop
        side = self.size * zoom
        top, left = _place(draw, layers[-1], side)
        turn = int(draw.integers(8))
        window = np.s_[int(top) : int(top + side) + 1, int(left) : int(left + side) + 1]
        box = (left % 1, top % 1, left % 1 + side, top % 1 + side)
        cut = []
        for layer in layers:
            image = Image.fromarray(np.ascontiguousarray(layer[window]))
            small = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
            turned = np.rot90(np.asarray(small), turn % 4)
            cut.append(turned[:, ::-1] if turn >= 4 else turned)
        pixels, relative, depth, inside = cut
        here = inside > 127
        shares = np.where(here, np.maximum(relative / 255, 1e-3), 0)
        depths = np.where(here, np.maximum(depth * (DEPTH_UNIT / zoom), 1e-3), 0)
        return pixels, np.stack([shares, depths]).astype(np.float32)


def _place(draw: np.random.Generator, inside: NDArray[np.uint8], side: float) -> tuple[float, float]:
    """Draw the corner of a crop: mostly the one of two with more nuclei, as most tissue has few."""
    places = draw.uniform(0, 1, (2, 2)) * (inside.shape - np.array(side))
    richness = [inside[int(y) : int(y + side) : 4, int(x) : int(x + side) : 4].mean() for y, x in places]
    either = int(np.argmax(richness)) if draw.random() < RICHER else 0
    return float(places[either, 0]), float(places[either, 1])


def _stained(
    draw: np.random.Generator, pixels: NDArray[np.uint8], how: AugmentationConfig
) -> NDArray[np.uint8]:
    """Change the strength of each stain and the tint of the light."""
    n = len(pixels)
    factors = np.exp(how.stain * draw.standard_normal((n, 2)).clip(-2.5, 2.5))
    shifts = how.shift * draw.standard_normal((n, 2))
    jittered = jitter_stain(pixels, factors, shifts)
    tint = np.exp(how.colour * draw.standard_normal((n, 1, 1, 3))).astype(np.float32)
    return od_to_rgb(rgb_to_od(jittered) * tint)


def _optics(draw: np.random.Generator, pictures: Tensor, how: AugmentationConfig) -> Tensor:
    """Blur and camera noise on some crops."""
    n, _, height, width = pictures.shape
    blurred, noisy = draw.random(n) < how.blur, draw.random(n) < how.noise
    sigma, level = draw.uniform(0.3, LARGEST_BLUR, n), draw.uniform(0, LARGEST_NOISE, n)
    for index in np.flatnonzero(blurred):
        offsets = torch.arange(-3, 4, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (offsets / float(sigma[index])) ** 2)
        kernel = (kernel / kernel.sum()).expand(3, 1, 7)
        one = F.pad(pictures[index : index + 1], (3, 3, 3, 3), mode="reflect")
        one = F.conv2d(one, kernel[:, :, None, :], groups=3)
        pictures[index : index + 1] = F.conv2d(one, kernel[:, :, :, None], groups=3)
    for index in np.flatnonzero(noisy):
        noise = draw.standard_normal((3, height, width), dtype=np.float32)
        pictures[index] += float(level[index]) * torch.from_numpy(noise)
    return pictures


def _paint_blanks(draw: np.random.Generator, pictures: Tensor, depth: Tensor, share: float) -> None:
    """Cover part or all of some crops with one colour, like glass, pen or the black beyond a scan."""
    n, _, height, width = pictures.shape
    for index in range(n):
        covered, kind = draw.random(2)
        top, left = (int(v) for v in draw.uniform(-0.5, 0.9, 2) * (height, width))
        bottom, right = (int(v) for v in draw.uniform(0.4, 1.2, 2) * (height, width))
        colour = (
            draw.uniform(0, 255, 3)
            if kind < 0.4
            else np.full(3, 0.0 if kind < 0.7 else draw.uniform(225, 255))
        )
        if covered >= share:
            continue
        here = np.s_[:, max(0, top) : max(0, top, bottom), max(0, left) : max(0, left, right)]
        pictures[index][here] = torch.from_numpy(colour.astype(np.float32))[:, None, None]
        depth[index][here] = 0
