"""Contours of real nuclei, measured from instance masks: ellipse and harmonics, all nuclei at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.data.contours import Contours
from nucleosynth.nuclei.instances import number_nuclei
from nucleosynth.nuclei.shapes import Moments, NuclearPixels, edge_weight, pixel_mean

HARMONICS = 7
"""Waves of a contour that are measured, from 2 to 8 per turn."""

_NOISE = 0.11  # mean square of a harmonic that pixels alone make, times the cube of the radius in px
_SHORTEST = 4.0  # px; pixels hardly show waves below


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Nuclei of n tiles as contours, with weights that mark whole nuclei."""

    contours: Contours
    tile: NDArray[np.int64]  # (m,)
    weight: NDArray[np.float64]  # (m,) `Shapes.edge_weight`; 0 where the tile's border cuts the nucleus


def describe(masks: ArrayLike, *, mpp: float) -> Described:
    """Measure the contours of all nuclei.

    The ellipse is that of equal second moments. With the nucleus turned and squeezed so that this becomes a
    circle, the mean of ``exp(-ik angle)`` over its pixels is, to first order, the amplitude of the k-th
    harmonic of its contour; the part due to the pixel grid (measured on drawn ellipses) is
    subtracted.

    Parameters
    ----------
    masks : (n, h, w) integer
        Instances, 0 = background.
    mpp : float
        µm per px.

    Returns
    -------
    Described
        Positions and lengths in µm.
    """
    nuclei = number_nuclei(masks)
    pixels = NuclearPixels.of(nuclei)
    moments = Moments.of(nuclei, pixels)
    owner, area = pixels.owner, moments.area
    dx, dy = pixels.x - moments.x[owner], pixels.y - moments.y[owner]
    xx, yy, xy = moments.xx + 1 / 12, moments.yy + 1 / 12, moments.xy
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    aspect = np.sqrt((middle + spread) / np.maximum(middle - spread, 1 / 12))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    turned = (dx + 1j * dy) * np.exp(-1j * angle)[owner]
    stretch = np.sqrt(aspect)[owner]
    unit = turned.real / stretch + 1j * (turned.imag * stretch)
    unit /= np.maximum(np.abs(unit), 1e-9)
    waves = np.empty((len(area), HARMONICS), np.complex128)
    power = np.conj(unit)
    for k in range(HARMONICS):
        power = power * np.conj(unit)  # e^{-i (k + 2) angle}
        waves[:, k] = pixel_mean(power.real, pixels, area) + 1j * pixel_mean(power.imag, pixels, area)
    radius = np.sqrt(area / np.pi)
    return Described(
        contours=Contours.of(
            x=(moments.x + 0.5) * mpp,
            y=(moments.y + 0.5) * mpp,
            radius=radius * mpp,
            aspect=aspect,
            angle=angle,
            contour=_without_pixel_noise(waves, radius),
        ),
        tile=nuclei.tile,
        weight=edge_weight(nuclei, pixels),
    )


def _without_pixel_noise(
    waves: NDArray[np.complex128], radius: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Shrink the waves of each nucleus by the power due to pixels of its size, short waves most."""
    power = np.maximum((np.abs(waves) ** 2).sum(axis=1), 1e-12)
    noise = HARMONICS * _NOISE / np.maximum(radius, 1) ** 3
    length = 2 * np.pi * np.maximum(radius, 1)[:, None] / np.arange(2, HARMONICS + 2)  # px
    resolved = 1 / (1 + (_SHORTEST / length) ** 4)
    return np.asarray(waves * resolved * np.sqrt(np.clip(1 - noise / power, 0, 1))[:, None])
