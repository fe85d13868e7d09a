"""Nuclei of the phantom: how they are built by grade, placed without overlap, and rasterised.

A nucleus is a star-shaped closed curve, an ellipse times a short Fourier series in the angle,
with the features that a pathologist grades: size, chromatin, membrane, nucleoli, contour.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BENIGN_RADIUS = 3.2  # µm; a diameter of 6.4
HARMONICS = 5  # of the contour, from 2 (3 and up bend it, 2 flattens it)
MAX_NUCLEOLI = 3
_MIN_AREA = 4  # px; smaller slivers at the tile's edge are not drawn


@dataclass(frozen=True, slots=True)
class Nuclei:
    """m nuclei as parallel arrays; lengths in µm, angles in radians."""

    x: Floats  # (m,) centre
    y: Floats  # (m,)
    radius: Floats  # (m,) of the circle of equal area
    aspect: Floats  # (m,) long axis over short axis
    angle: Floats  # (m,) of the long axis
    contour: NDArray[np.complex64]  # (m, HARMONICS) relative amplitude and phase
    density: Floats  # (m,) mean haematoxylin density
    clearing: Floats  # (m,) 0 solid to 1 vesicular: pale inside, chromatin at the membrane
    coarseness: Floats  # (m,) contrast of the chromatin clumps
    nucleoli: Floats  # (m, MAX_NUCLEOLI, 3): x, y in units of the radius, radius in µm (0: none)

    def __len__(self) -> int:
        """Count the nuclei."""
        return len(self.x)

    def take(self, keep: NDArray[np.bool_] | Ints) -> Nuclei:
        """Return the nuclei of a mask or of indices."""
        return Nuclei(*(getattr(self, field.name)[keep] for field in fields(self)))

    def where(self, keep: NDArray[np.bool_], other: Nuclei) -> Nuclei:
        """Return these nuclei where ``keep`` holds, else those of ``other``."""
        columns = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Nuclei(*(np.where(keep.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in columns))


@dataclass(frozen=True, slots=True)
class NuclearPixels:
    """The k pixels that nuclei cover, each with the one nucleus that owns it."""

    flat: Ints  # (k,) index into the flattened tile
    owner: Ints  # (k,) index into the nuclei
    depth: Floats  # (k,) µm inside the contour; negative in the half pixel outside
    u: Floats  # (k,) position in units of the radius, along the axes of the tile
    v: Floats  # (k,)
    nuclei: Nuclei  # those that own a pixel, in order


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


def rasterise(nuclei: Nuclei, *, size: int, mpp: float) -> tuple[NDArray[np.uint16], NuclearPixels]:
    """Draw the nuclei on a tile; where two meet, a pixel goes to the one it lies deeper in.

    Parameters
    ----------
    nuclei
        Centres in µm from the tile's upper left corner; those outside may reach in.
    size
        px, of a square tile.
    mpp
        µm per px.

    Returns
    -------
    mask
        (size, size) uint16 instances 1..n without a gap, 0 = background.
    pixels
        What the painter needs of each nuclear pixel, its antialiased edge included.
    """
    pixels = _candidate_pixels(nuclei, size=size, mpp=mpp)
    flat, owner, relative, reach, u, v = pixels
    owners = np.full(size * size, -1)
    deepest_last = np.argsort(-relative, kind="stable")
    owners[flat[deepest_last]] = owner[deepest_last]
    depth = (1 - relative) * reach
    owned = owners[flat] == owner
    area = np.bincount(owner[owned & (depth > 0)], minlength=len(nuclei))
    visible = np.flatnonzero(area >= _MIN_AREA)
    new_index = np.full(len(nuclei), -1)
    new_index[visible] = np.arange(len(visible))
    owned &= new_index[owner] >= 0
    won = NuclearPixels(
        flat=flat[owned],
        owner=new_index[owner[owned]],
        depth=depth[owned],
        u=u[owned],
        v=v[owned],
        nuclei=nuclei.take(visible),
    )
    mask = np.zeros(size * size, np.uint16)
    inside = won.depth > 0
    mask[won.flat[inside]] = won.owner[inside] + 1
    return mask.reshape(size, size), won


def _candidate_pixels(
    nuclei: Nuclei, *, size: int, mpp: float
) -> tuple[Ints, Ints, Floats, Floats, Floats, Floats]:
    """Pixels in or half a pixel around each contour: flat index, owner, distance/reach, reach, u, v."""
    half = int(np.ceil(1.5 * (nuclei.radius * np.sqrt(nuclei.aspect)).max(initial=0) / mpp)) + 1
    offset = np.arange(-half, half + 1)
    columns = np.rint(nuclei.x / mpp).astype(np.int64)[:, None] + offset  # (m, p)
    rows = np.rint(nuclei.y / mpp).astype(np.int64)[:, None] + offset
    dx = ((columns + 0.5) * mpp - nuclei.x[:, None]).astype(np.float32)
    dy = ((rows + 0.5) * mpp - nuclei.y[:, None]).astype(np.float32)
    long = nuclei.radius * np.sqrt(nuclei.aspect) * 1.4 + mpp
    column_in = (columns >= 0) & (columns < size) & (np.abs(dx) < long[:, None])
    row_in = (rows >= 0) & (rows < size) & (np.abs(dy) < long[:, None])
    owner, i, j = np.nonzero(row_in[:, :, None] & column_in[:, None, :])
    px, py = dx[owner, j], dy[owner, i]
    turned = (px + 1j * py) * np.exp(-1j * nuclei.angle).astype(np.complex64)[owner]
    stretch = np.sqrt(nuclei.aspect)[owner]
    unit = turned.real / stretch + 1j * (turned.imag * stretch)  # the ellipse becomes a circle
    distance = np.maximum(np.abs(unit), np.float32(1e-4))
    unit = unit / distance
    bend, power = np.ones_like(distance), unit
    for k in range(HARMONICS):
        power = power * unit  # e^{i (k + 2) angle}
        bend += (power * nuclei.contour[owner, k]).real
    radius, bend = nuclei.radius[owner], np.clip(bend, 0.6, 1.4)
    relative = distance / (radius * bend)
    # the contour's distance from the centre in µm along this pixel's direction
    reach = np.maximum(np.abs(turned), np.float32(1e-4)) / relative
    near = (relative - 1) * reach < 0.5 * mpp
    flat = rows[owner, i] * size + columns[owner, j]
    return flat[near], owner[near], relative[near], reach[near], (px / radius)[near], (py / radius)[near]


def _contour(generator: np.random.Generator, m: int, irregularity: float) -> NDArray[np.complex64]:
    """(m, HARMONICS) complex: the k-th harmonic falls off so that curves stay smooth."""
    falloff = np.array([1.0, 1.0, 0.7, 0.45, 0.3])
    waves = generator.standard_normal((m, HARMONICS, 2)) @ np.array([1, 1j])
    return np.asarray(np.clip(irregularity, 0, 0.07) * falloff * waves, np.complex64)


def _f(values: NDArray[np.float64]) -> Floats:
    return np.asarray(values, np.float32)
