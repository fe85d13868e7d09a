"""EDM preconditioning and loss around any network.

Source: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based generative
models", table 1 and equations 7 and 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.conditioning import Condition


class Denoiser(nn.Module):
    """D(x; sigma): estimates the clean picture from a noisy one.

    Pictures are standardised: ``(pixels / 255 - mean) / std`` per channel, hence ``sigma_data`` = 1.
    """

    def __init__(self, network: nn.Module, *, mean: Tensor, std: Tensor, sigma_data: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Karras et al. 2022, eq. 7. ``x`` (n, 3, h, w), ``sigma`` (n,)."""
        s = sigma[:, None, None, None]
        total = s**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = s * self.sigma_data / total.sqrt()
        c_in = 1 / total.sqrt()
        estimate: Tensor = self.network(c_in * x, sigma.log() / 4, condition).float()
        return c_skip * x + c_out * estimate

    def loss(self, clean: Tensor, sigma: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Karras et al. 2022, eq. 8 with weight 1 / c_out^2: unit weight on the network's output.

        Returns
        -------
        (n,) loss per picture.
        """
        s = sigma[:, None, None, None]
        weight = (s**2 + self.sigma_data**2) / (s * self.sigma_data) ** 2
        error = self(clean + s * noise, sigma, condition) - clean
        losses: Tensor = (weight * error**2).mean(dim=(1, 2, 3))
        return losses

    def standardise(self, pixels: Tensor) -> Tensor:
        """Map (n, 3, h, w) uint8 or float 0-255 pixels to standardised floats."""
        return (pixels.float() / 255 - self.mean) / self.std  # type: ignore[operator]

    def to_pixels(self, x: Tensor) -> Tensor:
        """Map standardised pictures to uint8 (n, 3, h, w)."""
        pixels = (x * self.std + self.mean) * 255  # type: ignore[operator]
        return pixels.round().clamp(0, 255).to(torch.uint8)
