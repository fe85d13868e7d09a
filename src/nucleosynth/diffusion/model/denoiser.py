"""Preconditioning and loss around any network: EDM with the spectrum of tissue, or prediction of the noise.

Source: Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based generative
models", table 1 and equations 7 and 8. There a picture has a single variance, ``sigma_data``; here every
cosine mode has its own (`Spectrum`). With a flat spectrum both are equal. Noise prediction is the column
"iDDPM" of that table.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.ddpm_schedule import LENGTH, linear_sigmas
from nucleosynth.diffusion.model.loss import mode_weight, noise_losses, spectral_losses
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.model.unet import Features, UNet


class Denoiser(nn.Module):
    """D(x; sigma), the estimate of the clean picture from a noisy one.

    Pictures are standardised: ``(pixels / 255 - mean) / std`` per channel.
    """

    limit: float | None = None
    """Clean pictures lie within plus and minus this; None: not known."""

    def __init__(self, network: nn.Module, *, mean: Tensor, std: Tensor, spectrum: Spectrum | None) -> None:
        super().__init__()
        self.network = network
        if spectrum is not None:
            self.spectrum = spectrum
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def prepare(self, condition: Condition) -> Condition | Features:
        """Compute the features of the condition, once for all steps of a sampling loop."""
        return self.network.features(condition) if isinstance(self.network, UNet) else condition

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition | Features) -> Tensor:
        """Estimate clean pictures from ``x`` (n, 3, h, w) at ``sigma`` (n,).

        Karras et al. 2022, eq. 7, per mode: ``c_skip = v / (v + s^2)``, ``c_out = s sqrt(c_skip)``.
        """
        s = sigma[:, None, None, None]
        estimate: Tensor = self.network(x / (s**2 + 1).sqrt(), sigma.log() / 4, condition)
        spectrum = self.spectrum
        c_skip = spectrum.variance / (spectrum.variance + s**2)
        c_out = s * c_skip.sqrt()
        return spectrum.pixels(c_skip * spectrum.modes(x) + c_out * spectrum.modes(estimate))

    def loss(self, clean: Tensor, sigma: Tensor, noise: Tensor, condition: Condition | Features) -> Tensor:
        """Return the weighted squared error of the clean estimate, see `losses`; (n,) per picture."""
        s = sigma[:, None, None, None]
        return self.losses(self(clean + s * noise, sigma, condition) - clean, sigma)

    def losses(self, error: Tensor, sigma: Tensor) -> Tensor:
        """Weight the error of clean estimates (n, 3, h, w) at noise levels (n,); (n,) per picture."""
        return spectral_losses(error, self.weight(sigma[:, None, None, None]), self.spectrum)

    def weight(self, sigma: Tensor) -> Tensor:
        """Return the weight of each mode's squared error at noise levels (n, 1, 1, 1)."""
        return mode_weight(sigma, self.spectrum.variance)

    def standardise(self, pixels: Tensor) -> Tensor:
        """Map (n, 3, h, w) uint8 or float 0-255 pixels to standardised floats."""
        return (pixels.float() / 255 - self.mean) / self.std  # type: ignore[operator]

    def to_pixels(self, x: Tensor) -> Tensor:
        """Map standardised pictures to uint8 (n, 3, h, w)."""
        pixels = (x * self.std + self.mean) * 255  # type: ignore[operator]
        return pixels.round().clamp(0, 255).to(torch.uint8)


class EpsilonDenoiser(Denoiser):
    """D(x; sigma) of a network that predicts the noise, as in DDPM; pictures lie in [-1, 1].

    ``c_in = 1 / sqrt(1 + s^2)``, ``c_skip = 1``, ``c_out = -s``; the noise level is the step t of the linear
    schedule (between two steps linear in log sigma).
    """

    limit = 1.0
    log_sigmas: Tensor

    def __init__(self, network: nn.Module) -> None:
        half = torch.full((3,), 0.5)
        super().__init__(network, mean=half, std=half, spectrum=None)
        levels = torch.from_numpy(np.log(linear_sigmas())).float()
        self.register_buffer("log_sigmas", levels, persistent=False)

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition | Features) -> Tensor:
        """Estimate clean pictures from ``x`` (n, 3, h, w) at ``sigma`` (n,)."""
        s = sigma[:, None, None, None]
        noise: Tensor = self.network(x / (s**2 + 1).sqrt(), self.step(sigma) / LENGTH, condition)
        return x - s * noise.float()

    def losses(self, error: Tensor, sigma: Tensor) -> Tensor:
        """Convert the error of the clean estimate to that of the noise; (n,) per picture."""
        return noise_losses(error, sigma)

    def step(self, sigma: Tensor) -> Tensor:
        """Return the step t, 0 to 999, whose noise level is ``sigma`` (n,)."""
        level, levels = sigma.log().clamp(self.log_sigmas[0], self.log_sigmas[-1]), self.log_sigmas
        above = torch.searchsorted(levels, level).clamp(1, LENGTH - 1)
        low, high = levels[above - 1], levels[above]
        return above - 1 + (level - low) / (high - low)
