"""The training loss: squared errors of the clean estimate, weighed by noise level and mode of tissue."""

from __future__ import annotations

from torch import Tensor

from nucleosynth.diffusion.model.spectrum import Spectrum


def spectral_losses(error: Tensor, weight: Tensor, spectrum: Spectrum) -> Tensor:
    """Weight the error of clean estimates mode by mode.

    Parameters
    ----------
    error
        (n, 3, h, w), estimate minus clean picture.
    weight
        Of `mode_weight`.

    Returns
    -------
    (n,), one loss per picture.
    """
    return (spectrum.modes(error).square() * weight).mean(dim=(1, 2, 3))


def mode_weight(sigma: Tensor, variance: Tensor) -> Tensor:
    """Return the weight of each mode's squared error at noise levels (n, 1, 1, 1).

    The geometric mean of two weights of Karras et al. 2022, eq. 8: for unit variance, where slow colour
    dominates fine texture, and for the variance of each mode, where all modes are equal and colour drifts.
    """
    return ((sigma**2 + 1) * (sigma**2 + variance) / variance).sqrt() / sigma**2


def noise_losses(error: Tensor, sigma: Tensor) -> Tensor:
    """Turn the error of clean estimates (n, 3, h, w) into that of the noise; (n,) per picture.

    Source: Ho et al. 2020, eq. 14.
    """
    return (error / sigma[:, None, None, None]).square().mean(dim=(1, 2, 3))
