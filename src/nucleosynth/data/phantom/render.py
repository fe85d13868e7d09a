"""Tissue of the phantom: positions of nests, stroma and gaps, their stain densities, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.contours import Floats, NuclearPixels, rasterise
from nucleosynth.data.phantom.nuclei import Nuclei, spread_out, stromal_nuclei, tumour_nuclei
from nucleosynth.data.phantom.random_fields import Region, Waves, smooth_step

_RIM = 0.35  # µm, thickness of the nuclear membrane as the light microscope shows it


@dataclass(frozen=True, slots=True)
class Appearance:
    """The common properties of the tiles of one patient."""

    matrix: Floats  # (2, 3) optical density of haematoxylin and eosin in R, G, B
    strength: Floats  # (2,) multiplier of the two densities
    white: Floats  # (3,) light that passes empty glass, 0-1
    spacing: float  # of the nuclei, in sums of radii: below 1 they touch
    lymphocytes: float  # share of the stromal nuclei
    nest: float  # level of the nests: larger leaves less stroma
    gaps: float  # share of tiles with a white gap
    benign_radius: float  # µm
    blur: float  # µm, standard deviation of the optics
    noise: float  # grey levels of the sensor, 0-255


def render(
    generator: np.random.Generator,
    appearance: Appearance,
    *,
    atypia: float,
    size_ratio: float,
    size: int,
    mpp: float,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Paint one tile of tissue.

    Parameters
    ----------
    generator
        Source of every draw of this tile.
    appearance
        The patient's stain, texture and optics.
    atypia
        0 to 3.
    size_ratio
        Mean diameter of the tumour nuclei relative to benign.
    size
        px, of the square tile.
    mpp
        µm per px.

    Returns
    -------
    image
        (size, size, 3) uint8 RGB.
    mask
        (size, size) uint16 instances of the nuclei, 0 = background.
    """
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(mpp)
    extent = size * mpp
    ground = _Ground.draw(generator, appearance, extent / 2)
    nuclei = _place(generator, appearance, ground, atypia=atypia, size_ratio=size_ratio, extent=extent)
    mask, pixels = rasterise(nuclei, size=size, mpp=mpp)
    density = _tissue(generator, axis, ground)
    _paint_nuclei(density, pixels, generator, axis=axis)
    strength = appearance.strength * generator.lognormal(0, 0.04, 2).astype(np.float32)
    return _photograph(generator, density * strength, appearance, mpp=mpp), mask


@dataclass(frozen=True, slots=True)
class _Ground:
    """Nests and gaps of one tile; the rest is stroma with fibres."""

    nest: Region
    gap: Region
    fibre_angle: float  # radians

    @classmethod
    def draw(cls, generator: np.random.Generator, appearance: Appearance, centre: float) -> _Ground:
        """Draw tissue whose centre is in a nest, so that there are tumour nuclei to grade."""
        nest = Region(
            Waves.draw(generator, (28, 90), count=12), appearance.nest + generator.exponential(0.35), centre
        )
        away = (
            generator.uniform(0.7, 1.6) if generator.random() < appearance.gaps else 9.0
        )  # 9: none anywhere
        gap = Region(Waves.draw(generator, (18, 60), count=10), -away, centre)
        return cls(nest=nest, gap=gap, fibre_angle=float(generator.uniform(0, np.pi)))


def _place(
    generator: np.random.Generator,
    appearance: Appearance,
    ground: _Ground,
    *,
    atypia: float,
    size_ratio: float,
    extent: float,
) -> Nuclei:
    """Scatter nuclei over the tile and a margin: tumour in the nests, benign ones in the stroma."""
    benign = appearance.benign_radius
    typical = benign * size_ratio
    margin = 1.6 * typical
    count = int(np.ceil(3.0 * (extent + 2 * margin) ** 2 / (np.pi * typical**2)))
    x, y = generator.uniform(-margin, extent + margin, (2, count)).astype(np.float32)
    x[0], y[0] = extent / 2 + min(0.15 * extent, 4.0) * generator.uniform(-1, 1, 2)
    in_nest = ground.nest.at(x, y) > 0
    thinned = generator.random(count) < np.where(in_nest, 1.0, 0.30)
    allowed = (ground.gap.at(x, y) < -0.25) & thinned
    in_nest[0] = allowed[0] = True  # one to grade near the centre, whatever the size
    tumour = tumour_nuclei(generator, x, y, atypia=atypia, size_ratio=size_ratio, benign_radius=benign)
    stromal = stromal_nuclei(
        generator,
        x,
        y,
        lymphocytes=appearance.lymphocytes,
        fibre_angle=ground.fibre_angle,
        benign_radius=benign,
    )
    mixed = tumour.where(in_nest, stromal).take(allowed)
    return mixed.take(spread_out(mixed.x, mixed.y, mixed.radius, spacing=appearance.spacing))


def _tissue(generator: np.random.Generator, axis: Floats, ground: _Ground) -> Floats:
    """Return the haematoxylin and eosin density, (n, n, 2), of everything but nuclei."""
    nest, gap = ground.nest.grid(axis), ground.gap.grid(axis)
    inside = smooth_step(nest, 0.12)
    fibres = _fibres(generator, axis, angle=ground.fibre_angle)
    grain = Waves.draw(generator, (1.2, 4.0)).grid(axis)
    clouds = Waves.draw(generator, (8, 30), count=10).grid(axis)
    borders = np.exp(-((Waves.draw(generator, (9, 20), count=32).grid(axis) / 0.16) ** 2))  # of cells
    cleft = np.exp(-(((nest + 0.16) / 0.10) ** 2)) * smooth_step(clouds, 0.5)
    stroma_e = 0.17 + 0.045 * fibres + 0.015 * clouds
    nest_e = 0.14 + 0.028 * grain + 0.025 * clouds - 0.035 * borders
    e = (stroma_e + inside * (nest_e - stroma_e)) * (1 - 0.6 * cleft)
    h = 0.04 + 0.012 * fibres + inside * (0.08 + 0.020 * grain + 0.02 * clouds - 0.02 * borders)
    solid = 1 - smooth_step(gap, 0.06)
    edge = np.exp(-(((gap + 0.10) / 0.07) ** 2))
    density: Floats = np.stack([h * solid, (e + 0.06 * edge) * solid], axis=-1).astype(np.float32)
    return np.maximum(density, 0.0, out=density)


def _fibres(generator: np.random.Generator, axis: Floats, *, angle: float) -> Floats:
    """Return wavy collagen, (n, n): ridges of waves across the fibres, bent by a slow warp; mean about 0."""
    x, y = np.meshgrid(axis, axis)
    warp = generator.uniform(1.0, 3.5) * Waves.draw(generator, (20, 60), count=8).grid(axis)
    across = angle + np.pi / 2
    x, y = x + warp * np.float32(np.cos(across)), y + warp * np.float32(np.sin(across))
    step = float(axis[1] - axis[0])
    bundles = Waves.draw(generator, (max(3.5, 4 * step), 10), count=8, angle=across, spread=0.30).at(x, y)
    finest = max(1.2, 2.5 * step), max(3.5, 4 * step)
    strands = Waves.draw(generator, finest, count=12, angle=across, spread=0.22).at(x, y)
    splits = np.exp(-((bundles / 0.22) ** 2))  # thin pale lines between bundles
    fibres: Floats = 0.5 * bundles + 0.6 * strands - 1.4 * splits
    return fibres


def _paint_nuclei(
    density: Floats, pixels: NuclearPixels[Nuclei], generator: np.random.Generator, *, axis: Floats
) -> None:
    """Lay the nuclei over the tissue: membrane, chromatin, nucleoli."""
    nuclei, owner = pixels.nuclei, pixels.owner
    step = float(axis[1] - axis[0])
    clumps = Waves.draw(generator, (1.3, 3.2), count=32).grid(axis).reshape(-1)[pixels.flat]
    fine = Waves.draw(generator, (0.7, 1.3), count=24).grid(axis).reshape(-1)[pixels.flat]
    chromatin = 1 + nuclei.coarseness[owner] * (0.75 * np.maximum(clumps, -1.0) + 0.35 * fine)
    clearing = nuclei.clearing[owner]
    deep = smooth_step(pixels.depth - 0.6, 0.5)
    inner = nuclei.density[owner] * (1 - 0.72 * clearing * deep)
    rim = nuclei.density[owner] * (0.10 + 0.55 * clearing) * np.exp(-((pixels.depth / _RIM - 0.7) ** 2))
    h = inner * np.clip(chromatin, 0.3, 2.2) + rim
    spot = _nucleoli(pixels)
    h += spot * (0.16 + 0.25 * nuclei.density[owner])
    e = 0.06 + 0.05 * clearing + 0.16 * spot
    cover = np.clip(pixels.depth / step + 0.5, 0, 1)[:, None]
    flat = density.reshape(-1, 2)
    flat[pixels.flat] += cover * (np.stack([h, e], axis=-1) - flat[pixels.flat])


def _nucleoli(pixels: NuclearPixels[Nuclei]) -> Floats:
    """Return how far each nuclear pixel is inside a nucleolus, (k,), 0 to 1."""
    nuclei, owner = pixels.nuclei, pixels.owner
    spots = nuclei.nucleoli[owner]  # (k, spots, 3)
    radius = nuclei.radius[owner][:, None]
    away = np.hypot(pixels.u[:, None] - spots[..., 0], pixels.v[:, None] - spots[..., 1]) * radius
    cover = np.where(spots[..., 2] > 0, 1 - smooth_step(away - spots[..., 2], 0.25), 0.0)
    return np.asarray(cover.max(axis=1, initial=0), np.float32)


def _photograph(
    generator: np.random.Generator, density: Floats, appearance: Appearance, *, mpp: float
) -> NDArray[np.uint8]:
    """Render by Beer-Lambert absorption, optics and sensor noise."""
    light = appearance.white * np.exp(density @ appearance.matrix * np.float32(-np.log(10.0)))
    optics = _blur_matrix(len(light), sigma=float(np.hypot(appearance.blur / mpp, 0.35)))
    planes = optics @ light.transpose(2, 0, 1) @ optics.T  # (3, n, n)
    noise = generator.standard_normal(light.shape, dtype=np.float32) * np.float32(appearance.noise)
    return np.asarray(np.rint(np.clip(planes.transpose(1, 2, 0) * 255 + noise, 0, 255)), dtype=np.uint8)


def _blur_matrix(n: int, *, sigma: float) -> Floats:
    """Return the matrix, (n, n), of a Gaussian blur of a line; each row sums to 1, also at the borders."""
    position = np.arange(n)
    weight = np.exp(-0.5 * ((position[:, None] - position) / sigma) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)
