"""Two small fully convolutional networks that find nuclei at 0.5 µm/px; `NETWORKS` lists them by name.

Both give two maps in [0, 1] per pixel, `nucleus` and `core`, and differ in how: `embedded` is a U-Net whose
core is the inner part of each nucleus, in proportion to its size; `judge` is a dilated residual network
without skips or levels that separates background, a rim of fixed width, and interior. Every output depends
on a bounded neighbourhood (no global pooling, no norm over the whole picture), so tiles with enough margin
give the same result as the whole frame.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nucleosynth.segmentation.learned.config import NETWORKS
from nucleosynth.segmentation.learned.watershed import Cut

EMBEDDED_WIDTHS = (24, 48, 144)
JUDGE_WIDTH = 32
JUDGE_DILATIONS = (1, 2, 4, 8, 1)
CORE = 0.4  # relative depth beyond which a pixel is core for `embedded`
RIM = 1.3  # width of the rim of a nucleus for `judge`, px of the network's grid


class Convolution(nn.Module):
    """3x3 convolution, batch norm, ReLU; the norm can be folded into the convolution."""

    def __init__(self, into: int, out: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, into, h, w) to (n, out, h / stride, w / stride)."""
        return F.relu(self.norm(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """Fold the norm's running statistics into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class SegmenterNet(nn.Module):
    """The base class of the networks, with their output and settings.

    Attributes
    ----------
    recipe : str
        Its name in `NETWORKS`, which its weights' card repeats.
    stride : int
        Edges of the input must be multiples of it, and so must the corners of tiles cut from a frame.
    reach : int
        An output pixel depends on no input pixel further away than this, px.
    cut : Cut
        Settings of the watershed on its maps; chosen on held-out training pictures.
    mirrored : bool
        Whether its maps are averaged with those of the mirrored picture.
    """

    recipe: ClassVar[str]
    stride: ClassVar[int]
    reach: ClassVar[int]
    cut: ClassVar[Cut]
    mirrored: ClassVar[bool] = False

    def maps(self, pixels: Tensor) -> Tensor:
        """Give (n, 2, h, w) in [0, 1], `nucleus` and `core`, of (n, 3, h, w) scaled to [-1, 1]."""
        raise NotImplementedError

    def loss(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Return the scalar training loss.

        Parameters
        ----------
        pixels : (n, 3, h, w)
            Scaled to [-1, 1].
        depth : (n, 2, h, w)
            By `targets.depth_maps`: relative depth in [0, 1] and depth in px of the crop; 0 is background.
        """
        raise NotImplementedError

    def fold(self) -> SegmenterNet:
        """Fold every batch norm and set the network to inference; in place."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        self.eval().requires_grad_(False)
        return self


class EmbeddedNet(SegmenterNet):
    """U-Net of three levels behind a pixel-unshuffle: two logits, `nucleus` and `core`."""

    recipe = "embedded"
    stride = 8
    reach = 64
    cut = Cut(core=0.7, blur=0.25, least_seed=0.4)
    mirrored = True  # PQ 0.480 becomes 0.494 on the held-out training pictures

    def __init__(self, widths: tuple[int, ...] = EMBEDDED_WIDTHS) -> None:
        super().__init__()
        self.stem = nn.Sequential(Convolution(3 * 4, widths[0]), Convolution(widths[0], widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(Convolution(a, b, stride=2), Convolution(b, b)) for a, b in pairwise(widths)
        )
        self.middle = Convolution(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            nn.Sequential(Convolution(b + a, a), Convolution(a, a)) for a, b in reversed([*pairwise(widths)])
        )
        self.head = nn.Conv2d(widths[0], 2 * 4, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, 2, h, w)."""
        x = self.stem(F.pixel_unshuffle(pixels, 2))  # n, 24, h/2, w/2
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)  # n, 144, h/8, w/8
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return F.pixel_shuffle(self.head(x), 2)

    def maps(self, pixels: Tensor) -> Tensor:
        """See `SegmenterNet.maps`."""
        return torch.sigmoid(self(pixels))

    def loss(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Return the loss as `SegmenterNet.loss`: of the whole nucleus and of its core."""
        logits = self(pixels)
        inside, deep = (depth[:, 0] > 0).float(), (depth[:, 0] > CORE).float()
        return _region_loss(logits[:, 0], inside) + _region_loss(logits[:, 1], deep)


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(Convolution(width, width, dilation=dilation), Convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)  # type: ignore[no-any-return]


class JudgeNet(SegmenterNet):
    """Dilated residual network at half resolution: three logits, background, rim and interior."""

    recipe = "judge"
    stride = 2
    reach = 46
    cut = Cut(core=0.6, blur=0.25, least_seed=0.4)

    def __init__(self, width: int = JUDGE_WIDTH, dilations: tuple[int, ...] = JUDGE_DILATIONS) -> None:
        super().__init__()
        self.stem = Convolution(3 * 4, width)
        self.blocks = nn.Sequential(*(_Residual(width, dilation) for dilation in dilations))
        self.head = nn.Conv2d(width, 3 * 4, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, 3, h, w)."""
        x = self.blocks(self.stem(F.pixel_unshuffle(pixels, 2)))
        return F.pixel_shuffle(self.head(x), 2)

    def maps(self, pixels: Tensor) -> Tensor:
        """See `SegmenterNet.maps`."""
        _, rim, interior = torch.softmax(self(pixels), 1).unbind(1)
        return torch.stack([rim + interior, interior], 1)

    def loss(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Return the loss as `SegmenterNet.loss`: each pixel is one of three kinds, the rim counts double."""
        logits = self(pixels)
        inside = (depth[:, 0] > 0).float()
        kind = (depth[:, 0] > 0).long() + (depth[:, 1] > RIM).long()  # 0 background, 1 rim, 2 interior
        chances = torch.softmax(logits, 1)
        weight = torch.tensor([1.0, 2.0, 1.0], device=logits.device)
        return (
            F.cross_entropy(logits, kind, weight=weight)
            + _dice_loss(1 - chances[:, 0], inside)
            + _dice_loss(chances[:, 2], (kind == 2).float())
        )


def build_network(recipe: str) -> SegmenterNet:
    """Return a fresh network of `NETWORKS`; torch's global generator decides the weights."""
    network: SegmenterNet = NETWORKS.get(recipe)()
    return network


def _region_loss(logits: Tensor, truth: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, truth) + _dice_loss(torch.sigmoid(logits), truth)


def _dice_loss(chance: Tensor, truth: Tensor) -> Tensor:
    both, total = (chance * truth).sum(), chance.sum() + truth.sum()
    return 1 - (2 * both + 1) / (total + 1)
