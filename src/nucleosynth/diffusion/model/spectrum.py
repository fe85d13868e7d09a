"""The second-order statistics of tissue, and the linear denoiser that follows from them.

Pictures are written in cosine modes of three uncorrelated colours. In this basis slow
modes of tissue have thousands of times the variance of fast ones. The best linear denoiser keeps the part
``v / (v + sigma^2)`` of a mode of variance ``v``, so a network built on it need not learn that fine noise is
not tissue.
"""

from __future__ import annotations

import math
from typing import TypedDict

import torch
from torch import Tensor, nn

LEAST_VARIANCE = 1e-4
SLOW_MODES = 3


class Spectrum(nn.Module):
    """Variance of each cosine mode of each colour, and the change of basis.

    Parameters
    ----------
    colours
        (3, 3) orthonormal rows: the principal colours of the standardised channels.
    variance
        (3, n, n) variance per colour and mode, for tiles of n x n px.
    """

    colours: Tensor
    variance: Tensor
    cosines: Tensor

    def __init__(self, colours: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("colours", colours)
        self.register_buffer("variance", variance)
        self.register_buffer("cosines", cosine_matrix(variance.shape[-1]), persistent=False)

    @classmethod
    def flat(cls, size: int) -> Spectrum:
        """Return the spectrum of white noise of unit variance, which assumes nothing about tissue."""
        return cls(torch.eye(3), torch.ones(3, size, size))

    @classmethod
    def fit(cls, pictures: Tensor) -> Spectrum:
        """Measure standardised pictures (k, 3, n, n); rows and columns are pooled, as tissue has no up."""
        pixels = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
        colours = torch.linalg.eigh(pixels.T @ pixels / len(pixels))[1].T.contiguous()
        raw = cls(colours, torch.ones(3, *pictures.shape[-2:])).modes(pictures).square().mean(0)
        return cls(colours, _smoothed((raw + raw.mT) / 2).clamp(min=LEAST_VARIANCE))

    def modes(self, pictures: Tensor) -> Tensor:
        """Map (k, 3, n, n) pixels to modes; orthonormal, so white noise stays white noise.

        In full precision, also where convolutions run in half.
        """
        with torch.autocast(pictures.device.type, enabled=False):
            pictures = pictures.to(self.cosines.dtype).contiguous()
            return self.cosines @ torch.einsum("ij,njhw->nihw", self.colours, pictures) @ self.cosines.mT

    def whitened(self, pictures: Tensor, *, grain: float) -> Tensor:
        """Return (k, 3, n, n) pictures in which fine modes are as strong as slow ones.

        ``grain`` is the standard deviation below which a mode stays weak: the noise of the camera.
        """
        return self.pixels(self.modes(pictures) / (self.variance + grain**2).sqrt())

    def pixels(self, modes: Tensor) -> Tensor:
        """Map modes back to (k, 3, n, n) pixels."""
        with torch.autocast(modes.device.type, enabled=False):
            return torch.einsum("ji,njhw->nihw", self.colours, self.cosines.mT @ modes @ self.cosines)


class Statistics(TypedDict):
    """Statistics of the training tiles before training: mean and deviation by channel (3,), spectrum."""

    mean: Tensor
    std: Tensor
    spectrum: Spectrum


def measured(pictures: Tensor) -> Statistics:
    """Measure (k, 3, n, n) tiles, float 0-255."""
    pixels = pictures / 255
    mean = pixels.mean(dim=(0, 2, 3))
    std = pixels.std(dim=(0, 2, 3)).clamp(min=1e-3)
    standardised = (pixels - mean[:, None, None]) / std[:, None, None]
    return {"mean": mean, "std": std, "spectrum": Spectrum.fit(standardised)}


def cosine_matrix(size: int) -> Tensor:
    """Return the orthonormal DCT-II matrix (size, size): row k is the k-th cosine."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    matrix = torch.cos(torch.arange(size, dtype=torch.float64)[:, None] * places) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _smoothed(variance: Tensor) -> Tensor:
    """Average the logarithm over 5 x 5 modes; the few slowest, which differ most, stay as measured."""
    logs = variance.clamp(min=LEAST_VARIANCE).log()
    padded = nn.functional.pad(logs[None], (2, 2, 2, 2), mode="replicate")
    smooth = nn.functional.avg_pool2d(padded, 5, stride=1)[0]
    smooth[:, :SLOW_MODES, :SLOW_MODES] = logs[:, :SLOW_MODES, :SLOW_MODES]
    return smooth.exp()
