"""A network as a contributor writes it, in one class: each pixel decides alone, by its colour."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nucleosynth.segmentation.learned.network import Convolution, SegmenterNet
from nucleosynth.segmentation.learned.watershed import Cut


class PixelNet(SegmenterNet):
    recipe = "pixel"
    stride = 1
    reach = 1
    cut = Cut(blur=0.25)

    def __init__(self) -> None:
        super().__init__()
        self.head = Convolution(3, 1)

    def maps(self, pixels: Tensor) -> Tensor:
        return torch.tanh(self.head(pixels)).expand(-1, 2, -1, -1)

    def loss(self, pixels: Tensor, depth: Tensor) -> Tensor:
        return F.mse_loss(self.maps(pixels)[:, 0], (depth[:, 0] > 0).float())
