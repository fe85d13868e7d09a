"""Statistics of the nuclei of one class, and the sampler that draws a layout from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nucleosynth.config import Config
from nucleosynth.data.contours import Contours, rasterise
from nucleosynth.data.grid import renumber
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.descriptors import HARMONICS
from nucleosynth.layouts.spacing import BINS, place
from nucleosynth.layouts.touching import part

_JITTER = 0.05  # standard deviation of log diameter and log elongation about a real nucleus
_TURN = 0.1  # radians, of its contour against its ellipse, and of the phase of each harmonic
_DEEPEST = 0.5  # sum of the amplitudes of a contour; beyond, it folds
_QUANTILES = (np.arange(64) + 0.5) / 64


class ClassStatistics(Config):
    """Statistics of the nuclei of one class, from real masks; lengths in µm."""

    tiles: int = Field(ge=1)
    """Number of tiles behind the statistics."""
    density: tuple[float, ...] = Field(min_length=1)
    """Nuclei per mm² of tiles, sorted; empty tiles are 0."""
    nuclei: tuple[tuple[float, ...], ...]
    """Real nuclei sorted by diameter, drawn with equal probability: diameter, aspect, and the real and
    imaginary amplitudes of the harmonics of the contour."""
    asked: float = Field(ge=1, le=2)
    """Number of nuclei to place for each that finds room."""
    size_in_tile: float = Field(ge=0, lt=1)
    """Correlation of the (normalised) sizes of two nuclei of one tile."""
    size_with_density: float = Field(gt=-1, lt=1)
    """Correlation of a tile's mean size with its density."""
    alignment: float = Field(gt=0, lt=1)
    """Mean cosine of twice the angle between the long axes of two nuclei of one tile."""
    spacing: tuple[float, ...] = Field(min_length=BINS, max_length=BINS)
    """Log weight of a pair by distance, see `spacing`."""
    touching: float = Field(1.0, ge=0, le=1)
    """Probability that a nucleus may touch others that may; otherwise a line of pixels separates them."""

    @model_validator(mode="after")
    def _whole(self) -> ClassStatistics:
        if any(len(row) != 2 + 2 * HARMONICS or row[0] <= 0 or row[1] < 1 for row in self.nuclei):
            raise ValueError(f"each of `nuclei` needs a diameter, an aspect and {2 * HARMONICS} amplitudes")
        if not self.nuclei and max(self.density) > 0:
            raise ValueError("`nuclei` is empty, but `density` is not 0")
        return self


class LayoutSampler:
    """The layout sampler of one class: draws layouts from its statistics, held as arrays."""

    def __init__(self, statistics: ClassStatistics, dial: Dial) -> None:
        from scipy.special import ndtri

        table = np.asarray(statistics.nuclei, np.float64).reshape(-1, 2 + 2 * HARMONICS)
        self.statistics, self.dial = statistics, dial
        self.density = np.asarray(statistics.density)
        self.weights = np.asarray(statistics.spacing)
        self.diameter, self.aspect = table[:, 0], table[:, 1]
        self.waves = table[:, 2 : 2 + HARMONICS] + 1j * table[:, 2 + HARMONICS :]
        long = self.diameter / 2 * np.sqrt(self.aspect)
        crowd = ndtri(_QUANTILES)
        weight = self._density(crowd) + 1e-9
        # Crowded tiles give more nuclei: centring on them keeps the learned sizes over all nuclei.
        self.usual_size = statistics.size_with_density * float(weight @ crowd / weight.sum())
        self.margin = 1.2 * dial.size_ratio * float(np.quantile(long, 0.99)) if len(long) else 0.0

    def draw(
        self,
        generator: np.random.Generator,
        *,
        size: tuple[int, int],
        mpp: float,
        region: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.uint16]:
        """Draw one layout, (h, w) uint16."""
        side = max(size)
        density, tile_size = self.tile(generator)
        extent = size[0] * mpp, size[1] * mpp
        area = extent[0] * extent[1]
        rim = (extent[0] + 2 * self.margin) * (extent[1] + 2 * self.margin) - area
        filled = 1.0 if region is None else float(region.mean())
        edge = 1.0 if region is None else _edge_share(region)
        wanted = self.statistics.asked * density * np.array([area * filled, rim * edge])
        counts = np.floor(wanted + generator.random(2)).astype(np.int64)
        if not counts.sum():
            return np.zeros(size, np.uint16)
        shapes = self._shapes(generator, int(counts.sum()), tile_size)
        inside = np.arange(len(shapes)) < counts[0]
        placed = place(
            generator,
            shapes,
            self.weights,
            extent=extent,
            margin=self.margin,
            inside=inside,
            region=None if region is None else _depth_inside(region, mpp),
        )
        mask = rasterise(placed, size=side, mpp=mpp)[0][: size[0], : size[1]]
        mask = part(mask, generator.random(len(placed) + 1) < self.statistics.touching)
        return renumber(mask if region is None else np.where(region, mask, 0))

    def tile(self, generator: np.random.Generator) -> tuple[float, float]:
        """Draw the common properties of a tile: nuclei per µm², and a normal score of their size."""
        crowd, luck = generator.standard_normal(2)
        share = self.statistics.size_with_density
        size = share * crowd + np.sqrt(1 - share**2) * luck - self.usual_size
        return float(self._density(crowd)), float(size)

    def _density(self, score: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return nuclei per µm² of tiles at normal scores."""
        from scipy.special import ndtr

        return np.asarray(np.quantile(self.density, ndtr(score)) * self.dial.density / 1e6)

    def _shapes(self, generator: np.random.Generator, count: int, tile_size: float) -> Contours:
        """Draw the nuclei of one tile, without positions."""
        from scipy.special import ndtr, ndtri

        own = self.statistics.size_in_tile
        score = np.sqrt(own) * tile_size + np.sqrt(1 - own) * generator.standard_normal(count)
        row = self._row(ndtr(score))
        near = generator.standard_normal((2, count)) * _JITTER
        diameter = self.diameter[row] * np.exp(near[0])
        if self.dial.anisonucleosis != 1:
            others = np.sqrt(own) * tile_size + np.sqrt(1 - own) * ndtri(_QUANTILES)
            mean = self.diameter[self._row(ndtr(others))].mean()
            diameter = np.maximum(mean + self.dial.anisonucleosis * (diameter - mean), 0.3 * mean)
        waves = _varied(generator, self.waves[row]) * self.dial.irregularity
        waves *= np.minimum(1, _DEEPEST / np.maximum(np.abs(waves).sum(axis=1, keepdims=True), 1e-6))
        slant = np.sqrt(-np.log(self.statistics.alignment) / 4)
        angle = generator.uniform(0, np.pi) + slant * generator.standard_normal(count)
        return Contours.of(
            x=np.zeros(count),
            y=np.zeros(count),
            radius=self.dial.size_ratio * diameter / 2,
            aspect=1 + (self.aspect[row] - 1) * np.exp(near[1]),
            angle=angle,
            contour=waves,
        )

    def _row(self, quantile: NDArray[np.float64]) -> NDArray[np.int64]:
        last = len(self.diameter) - 1
        return np.minimum((quantile * (last + 1)).astype(np.int64), last)


def _varied(generator: np.random.Generator, waves: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Mirror contours, rotate them by 180 degrees, and shift the phase of each harmonic slightly."""
    count = len(waves)
    mirrored, turned = generator.random((2, count, 1)) < 0.5
    order = np.arange(2, HARMONICS + 2)
    varied = np.where(mirrored, np.conj(waves), waves) * np.where(turned & (order % 2 == 1), -1, 1)
    phase = _TURN * (generator.standard_normal(waves.shape) + order * generator.standard_normal((count, 1)))
    return np.asarray(varied * np.exp(1j * phase))


def _edge_share(region: NDArray[np.bool_]) -> float:
    edge = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    return float(edge.mean())


def _depth_inside(region: NDArray[np.bool_], mpp: float) -> NDArray[np.float32]:
    """Return the distance in µm of each pixel in the region to its outline, without the tile's border."""
    from scipy.ndimage import distance_transform_edt

    if region.all():
        return np.full(region.shape, np.inf, np.float32)
    return np.asarray(distance_transform_edt(region) * mpp, np.float32)
