"""The network: a U-Net behind a pixel-unshuffle.

Class, noise level and stain steer it; the mask planes are fed at every resolution.
Pixel-unshuffle keeps the texture that an autoencoder would blur and makes the grid small enough for a CPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nucleosynth.diffusion.conditioning import PLANES, STAIN_SIZE, Condition

FOURIER = 64


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group norm; the embedding scales and shifts, the planes are added."""

    def __init__(self, inputs: int, outputs: int, embedding: int, planes: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.steer = nn.Linear(embedding, 2 * outputs)
        self.planes = nn.Conv2d(planes, outputs, 1, bias=False)
        self.norm2 = nn.GroupNorm(_groups(outputs), outputs, affine=False)
        self.conv2 = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, planes: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w); planes at the same grid, embedding (n, d)."""
        h = self.conv1(F.silu(self.norm1(x))) + self.planes(planes)  # (n, outputs, h, w)
        scale, shift = self.steer(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), scale + 1)))
        return self.skip(x) + h  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Predicts F of EDM's preconditioning from scaled noisy pixels, noise level and condition.

    Parameters
    ----------
    classes
        Number of classes; one more embedding row stands for "no class given".
    unshuffle
        Factor by which the picture is folded into channels.
    """

    def __init__(
        self,
        *,
        classes: int,
        unshuffle: int,
        width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        folded = unshuffle**2
        planes = PLANES * folded
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), FOURIER // 2)))
        self.noise = nn.Sequential(nn.Linear(FOURIER, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label = nn.Embedding(classes + 1, embedding)
        self.stain = nn.Sequential(
            nn.Linear(STAIN_SIZE + 1, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.entry = nn.Conv2d(3 * folded + planes, width, 3, padding=1)

        widths = [width * m for m in multipliers]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        current = width
        for level, channels in enumerate(widths):
            if level:
                self.down.append(_Pool())
            for _ in range(blocks):
                self.down.append(ResidualBlock(current, channels, embedding, planes))
                current = channels
        self.middle = ResidualBlock(current, current, embedding, planes)
        for level, channels in reversed(list(enumerate(widths))):
            for _ in range(blocks):
                self.up.append(ResidualBlock(current + channels, channels, embedding, planes))
                current = channels
            if level:
                self.up.append(_Grow(current, widths[level - 1]))
                current = widths[level - 1]
        self.exit_norm = nn.GroupNorm(_groups(current), current)
        self.gate = nn.Linear(embedding, 3 * folded)
        self.exit = _zeroed(nn.Conv2d(current + 3 * folded, 3 * folded, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, condition: Condition) -> Tensor:
        """Map (n, 3, h, w) scaled pixels and (n,) noise levels to (n, 3, h, w)."""
        angles = c_noise[:, None] * self.frequencies  # type: ignore[operator]
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)  # (n, FOURIER)
        embedding = F.silu(self.noise(waves) + self.label(condition.label + 1) + self.stain(condition.stain))
        folded = F.pixel_unshuffle(condition.planes, self.unshuffle)
        planes = [folded]  # of each level, by averaging
        pixels = F.pixel_unshuffle(x, self.unshuffle)
        h = self.entry(torch.cat([pixels, folded], dim=1))
        stack: list[Tensor] = []
        level = 0
        for layer in self.down:
            if isinstance(layer, _Pool):
                h, level = layer(h), level + 1
                planes.append(F.avg_pool2d(planes[-1], 2))
            else:
                h = layer(h, embedding, planes[level])
                stack.append(h)
        h = self.middle(h, embedding, planes[level])
        for layer in self.up:
            if isinstance(layer, _Grow):
                h, level = layer(h), level - 1
            else:
                h = layer(torch.cat([h, stack.pop()], dim=1), embedding, planes[level])
        # A straight path for the noise itself: without it pixel noise is unlearned late.
        straight = pixels * self.gate(embedding)[:, :, None, None]
        return F.pixel_shuffle(
            self.exit(torch.cat([F.silu(self.exit_norm(h)), straight], dim=1)), self.unshuffle
        )


class _Pool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


class _Grow(nn.Module):
    """Project at the small grid, then repeat pixels: a third of the cost of a convolution after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.project(x), scale_factor=2.0, mode="nearest")


def _groups(channels: int) -> int:
    return math.gcd(channels, 32) if channels >= 64 else math.gcd(channels, 8)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
