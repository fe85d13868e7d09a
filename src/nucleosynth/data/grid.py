"""Geometry of tiles: a grid without overlap, and the pixels and labels below it at another scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Grid:
    """The positions of a frame's tiles: ``rows`` x ``columns`` tiles from ``top``, ``left`` in target px."""

    rows: int
    columns: int
    top: int
    left: int
    size: int
    scale: float  # target px per source px

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom of all tiles, in source px."""
        right, bottom = self.left + self.columns * self.size, self.top + self.rows * self.size
        return (self.left / self.scale, self.top / self.scale, right / self.scale, bottom / self.scale)

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Return x, y of a tile's upper left corner, in source px."""
        return (self.left + column * self.size) / self.scale, (self.top + row * self.size) / self.scale


def lay_grid(
    shape: tuple[int, int], size: int, *, scale: float = 1.0, place: Literal["grid", "centre"] = "grid"
) -> Grid:
    """Lay the largest grid without overlap on a frame of ``shape`` (h, w) source px, and centre it.

    A frame that misses a whole tile by at most half a target pixel still gives it. ``rows`` or ``columns``
    is 0 where not even one tile fits.
    """
    height, width = (int(side * scale + 0.5) for side in shape)
    rows, columns = height // size, width // size
    if place == "centre":
        rows, columns = min(rows, 1), min(columns, 1)
    return Grid(rows, columns, (height - rows * size) // 2, (width - columns * size) // 2, size, scale)


def resample_image(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Return the part of an image below the grid at the target scale.

    The mean over k x k pixels where the scale is 1/k, Lanczos (3 lobes, anti-aliased) otherwise.

    Parameters
    ----------
    image
        (h, w, 3) uint8.

    Returns
    -------
    (rows * size, columns * size, 3) uint8.
    """
    from PIL import Image

    left, top, right, bottom = grid.box()
    right, bottom = min(right, image.shape[1]), min(bottom, image.shape[0])
    factor = _whole_factor(grid.scale)
    if factor == 1:
        return image[round(top) : round(bottom), round(left) : round(right)]
    source = Image.fromarray(image)
    if factor:
        box = (round(left), round(top), round(right), round(bottom))
        return np.asarray(source.reduce(factor, box=box))
    out = (grid.columns * grid.size, grid.rows * grid.size)
    resized = source.resize(out, Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    return np.asarray(resized)


def resample_labels(labels: NDArray[np.int32], grid: Grid) -> NDArray[np.int32]:
    """Return the part of a label image below the grid at the target scale, each pixel its nearest label.

    ``labels`` is (h, w) int32; the result (rows * size, columns * size) int32.
    """
    x, y = _centres(grid.left, grid.columns, grid), _centres(grid.top, grid.rows, grid)
    y, x = np.minimum(y, labels.shape[0] - 1), np.minimum(x, labels.shape[1] - 1)
    below: NDArray[np.int32] = labels[y[:, None], x[None]]
    return below


def renumber(labels: NDArray[Any], dtype: type[np.integer[Any]] = np.uint16) -> NDArray[Any]:
    """Renumber labels 1, 2, ... in their order, without gaps; 0 stays: (h, w) to (h, w) ``dtype``."""
    values, inverse = np.unique(labels, return_inverse=True)
    first = 0 if len(values) and values[0] == 0 else 1
    return (inverse.reshape(labels.shape) + first).astype(dtype)


def blocks(array: NDArray[Scalar], grid: Grid) -> NDArray[Scalar]:
    """Cut into tiles, row by row: (rows * size, columns * size, ...) -> (rows * columns, size, size, ...)."""
    size, rest = grid.size, array.shape[2:]
    blocks = array.reshape(grid.rows, size, grid.columns, size, *rest).swapaxes(1, 2)
    return blocks.reshape(-1, size, size, *rest)


def _centres(start: int, count: int, grid: Grid) -> NDArray[np.int64]:
    """Return the source pixels below the centres of the target pixels from ``start``."""
    centres = (start + np.arange(count * grid.size) + 0.5) / grid.scale
    below: NDArray[np.int64] = np.floor(centres + 1e-9).astype(np.int64)
    return below


def _whole_factor(scale: float) -> int:
    """Return k if the scale is 1/k, else 0."""
    factor = round(1 / scale)
    return factor if factor >= 1 and math.isclose(factor * scale, 1, rel_tol=1e-6) else 0
