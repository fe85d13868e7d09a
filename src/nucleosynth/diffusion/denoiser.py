"""EDM preconditioning and loss around any network, with the spectrum of tissue in place of one variance.

Source: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based generative
models", table 1 and equations 7 and 8. There all of a picture has one variance, ``sigma_data``; here every
cosine mode has its own (`Spectrum`). With a flat spectrum the two are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.conditioning import Condition
from nucleosynth.diffusion.spectrum import Spectrum


class Denoiser(nn.Module):
    """D(x; sigma): estimates the clean picture from a noisy one.

    Pictures are standardised: ``(pixels / 255 - mean) / std`` per channel.
    """

    def __init__(self, network: nn.Module, *, mean: Tensor, std: Tensor, spectrum: Spectrum) -> None:
        super().__init__()
        self.network = network
        self.spectrum = spectrum
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Karras et al. 2022, eq. 7, per mode: ``c_skip = v / (v + s^2)``, ``c_out = s sqrt(c_skip)``.

        ``x`` (n, 3, h, w), ``sigma`` (n,).
        """
        s = sigma[:, None, None, None]
        estimate: Tensor = self.network(x / (s**2 + 1).sqrt(), sigma.log() / 4, condition)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = self.spectrum
            c_skip = spectrum.variance / (spectrum.variance + s**2)
            c_out = s * c_skip.sqrt()
            return spectrum.pixels(c_skip * spectrum.modes(x) + c_out * spectrum.modes(estimate.float()))

    def loss(self, clean: Tensor, sigma: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Karras et al. 2022, eq. 8 with the weight of unit variance, ``(s^2 + 1) / s^2``.

        Returns
        -------
        (n,) loss per picture.
        """
        s = sigma[:, None, None, None]
        error = self(clean + s * noise, sigma, condition) - clean
        losses: Tensor = ((s**2 + 1) / s**2 * error**2).mean(dim=(1, 2, 3))
        return losses

    def standardise(self, pixels: Tensor) -> Tensor:
        """Map (n, 3, h, w) uint8 or float 0-255 pixels to standardised floats."""
        return (pixels.float() / 255 - self.mean) / self.std  # type: ignore[operator]

    def to_pixels(self, x: Tensor) -> Tensor:
        """Map standardised pictures to uint8 (n, 3, h, w)."""
        pixels = (x * self.std + self.mean) * 255  # type: ignore[operator]
        return pixels.round().clamp(0, 255).to(torch.uint8)
