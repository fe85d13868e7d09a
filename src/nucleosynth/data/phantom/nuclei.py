"""Nuclei of the phantom: their construction by grade, and placement without overlap.

They have the features that a pathologist grades: size, chromatin, membrane, nucleoli, contour.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.contours import Contours, Floats

BENIGN_RADIUS = 3.2  # µm; a diameter of 6.4
HARMONICS = 5  # of the contour, from 2 (3 and up bend it, 2 flattens it)
MAX_NUCLEOLI = 3


@dataclass(frozen=True, slots=True)
class Nuclei(Contours):
    """m nuclei as parallel arrays: contours and staining."""

    density: Floats  # (m,) mean haematoxylin density
    clearing: Floats  # (m,) 0 solid to 1 vesicular: pale inside, chromatin at the membrane
    coarseness: Floats  # (m,) contrast of the chromatin clumps
    nucleoli: Floats  # (m, MAX_NUCLEOLI, 3): x, y in units of the radius, radius in µm (0: none)

    def where(self, keep: NDArray[np.bool_], other: Nuclei) -> Nuclei:
        """Return these nuclei where ``keep`` holds, else those of ``other``."""
        columns = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Nuclei(*(np.where(keep.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in columns))


def tumour_nuclei(
    generator: np.random.Generator,
    x: Floats,
    y: Floats,
    *,
    atypia: float,
    size_ratio: float,
    benign_radius: float,
) -> Nuclei:
    """Draw the nuclei of epithelial nests at a grade of atypia.

    Parameters
    ----------
    generator
        Source of the draws.
    x, y
        (m,) centres in µm.
    atypia
        0 to 3, growing through the three grades. Each feature follows it with a scatter of its own.
    size_ratio
        Mean diameter relative to benign.
    benign_radius
        µm.
    """
    m = len(x)
    # of clearing, clumps, nucleoli, contour
    level = np.clip(atypia / 3 + 0.10 * generator.standard_normal(4), 0, 1)
    spread = 0.07 + 0.14 * atypia / 3  # anisonucleosis
    relative_size = generator.lognormal(-(spread**2) / 2, spread, m).clip(0.5, 1.6)
    count = generator.poisson(0.35 + 1.6 * level[2], m)
    nucleoli = np.empty((m, MAX_NUCLEOLI, 3), np.float32)
    nucleoli[..., :2] = generator.normal(0, 0.30, (m, MAX_NUCLEOLI, 2)).clip(-0.55, 0.55)
    nucleoli[..., 2] = (0.40 + 0.95 * level[2]) * generator.lognormal(0, 0.2, (m, MAX_NUCLEOLI))
    nucleoli[..., 2] *= np.arange(MAX_NUCLEOLI) < count[:, None]
    return Nuclei(
        x=x,
        y=y,
        radius=_f(benign_radius * size_ratio * relative_size),
        aspect=_f(1.08 + generator.gamma(1.5, 0.10 + 0.10 * level[3], m)),
        angle=_f(generator.uniform(0, np.pi, m)),
        contour=_contour(generator, m, 0.020 + 0.055 * level[3]),
        density=_f(0.42 * generator.lognormal(0, 0.10 + 0.16 * atypia / 3, m)),
        clearing=_f((0.15 + 0.65 * level[0]) * generator.uniform(0.6, 1.2, m)),
        coarseness=_f((0.20 + 0.45 * level[1]) * generator.uniform(0.7, 1.3, m)),
        nucleoli=nucleoli,
    )


def stromal_nuclei(
    generator: np.random.Generator,
    x: Floats,
    y: Floats,
    *,
    lymphocytes: float,
    fibre_angle: float,
    benign_radius: float,
) -> Nuclei:
    """Draw benign nuclei between the nests: round dark lymphocytes, and spindles along the fibres."""
    m = len(x)
    lymphocyte = generator.random(m) < lymphocytes
    spindle = 2.2 + generator.gamma(2.0, 0.5, m)
    return Nuclei(
        x=x,
        y=y,
        radius=_f(benign_radius * np.where(lymphocyte, 0.95, 0.85) * generator.lognormal(0, 0.08, m)),
        aspect=_f(np.where(lymphocyte, 1.05 + generator.gamma(1.0, 0.06, m), spindle)),
        angle=_f(fibre_angle + generator.normal(0, np.where(lymphocyte, 3.0, 0.25), m)),
        contour=_contour(generator, m, 0.03),
        density=_f(np.where(lymphocyte, 0.60, 0.48) * generator.lognormal(0, 0.15, m)),
        clearing=_f(np.full(m, 0.08)),
        coarseness=_f(np.where(lymphocyte, 0.35, 0.15)),
        nucleoli=np.zeros((m, MAX_NUCLEOLI, 3), np.float32),
    )


def spread_out(x: Floats, y: Floats, radius: Floats, *, spacing: float) -> NDArray[np.bool_]:
    """Keep a centre when it is ``spacing`` times the sum of the radii away from all kept before it.

    Returns
    -------
    (m,) bool: which of the m candidates stay.
    """
    keep = np.ones(len(x), bool)
    for i in range(len(x)):
        if keep[i]:
            later = slice(i + 1, None)
            reach = spacing * (radius[later] + radius[i])
            keep[later] &= (x[later] - x[i]) ** 2 + (y[later] - y[i]) ** 2 >= reach**2
    return keep


def _contour(generator: np.random.Generator, m: int, irregularity: float) -> NDArray[np.complex64]:
    """Draw harmonics, (m, HARMONICS) complex, that decrease with k so that curves stay smooth."""
    falloff = np.array([1.0, 1.0, 0.7, 0.45, 0.3])
    waves = generator.standard_normal((m, HARMONICS, 2)) @ np.array([1, 1j])
    return np.asarray(np.clip(irregularity, 0, 0.07) * falloff * waves, np.complex64)


def _f(values: NDArray[np.float64]) -> Floats:
    return np.asarray(values, np.float32)
