"""Random fields of the phantom: textures and regions as sums of random plane waves.

Lengths are in µm, so a texture appearances alike at every magnification; waves that a pixel cannot resolve
are damped before they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Waves:
    """A Gaussian random field of unit variance: the sum of plane waves."""

    kx: Floats  # (n,) radians per µm
    ky: Floats
    phase: Floats

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        wavelengths: tuple[float, float],
        *,
        count: int = 24,
        angle: float = 0.0,
        spread: float = np.pi,
    ) -> Waves:
        """Draw waves with lengths in µm from a range, travelling within ``spread`` of ``angle``."""
        low, high = np.log(wavelengths)
        k = 2 * np.pi / np.exp(generator.uniform(low, high, count))
        direction = angle + spread * generator.uniform(-1, 1, count)
        phase = generator.uniform(0, 2 * np.pi, count)
        waves = k * np.cos(direction), k * np.sin(direction), phase
        return cls(*(np.asarray(values, np.float32) for values in waves))

    def at(self, x: Floats, y: Floats) -> Floats:
        """Values at points in µm of any shape."""
        total = np.zeros(np.shape(x), np.float32)
        for kx, ky, phase in zip(self.kx, self.ky, self.phase, strict=True):
            total += np.cos(x * kx + y * ky + phase)
        return total * np.float32(np.sqrt(2 / len(self.kx)))

    def grid(self, axis: Floats) -> Floats:
        """(n, n) values on the square grid of an axis in µm; a wave is a product of its x and y parts."""
        step = axis[1] - axis[0]
        damping = np.exp(-0.5 * (self.kx**2 + self.ky**2) * (0.4 * step) ** 2)
        amplitude = (damping * np.sqrt(2 / len(self.kx)))[:, None]
        down = self.ky[:, None] * axis + self.phase[:, None]  # (waves, n)
        along = self.kx[:, None] * axis
        real: Floats = (amplitude * np.cos(down)).T @ np.cos(along)
        real -= (amplitude * np.sin(down)).T @ np.sin(along)
        return real


@dataclass(frozen=True, slots=True)
class Region:
    """A patch of the plane, bounded by a level of a random field that is 0 at the tile's centre."""

    waves: Waves
    level: float
    centre: float  # µm

    def at(self, x: Floats, y: Floats) -> Floats:
        """Signed height above the border at points in µm; positive inside."""
        middle = np.full(1, self.centre, np.float32)
        return self.waves.at(x, y) - self.waves.at(middle, middle) + np.float32(self.level)

    def grid(self, axis: Floats) -> Floats:
        """(n, n) signed height on a grid."""
        middle = np.full(1, self.centre, np.float32)
        return self.waves.grid(axis) - self.waves.at(middle, middle) + np.float32(self.level)


def smooth_step(values: Floats, width: float) -> Floats:
    """Return a smooth step from 0 to 1 over about ``width`` around 0."""
    smooth: Floats = 1 / (1 + np.exp(np.clip(values * np.float32(-3 / width), -30, 30)))
    return smooth
