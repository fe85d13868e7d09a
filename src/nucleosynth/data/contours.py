"""Contours of nuclei, star-shaped closed curves (ellipse times short Fourier series), and their pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MIN_AREA = 4  # px; smaller slivers at the tile's edge are not drawn


@dataclass(frozen=True, slots=True)
class Contours:
    """m contours as parallel arrays; lengths in µm, angles in radians."""

    x: Floats  # (m,) centre
    y: Floats  # (m,)
    radius: Floats  # (m,) of the circle of equal area
    aspect: Floats  # (m,) long axis over short axis
    angle: Floats  # (m,) of the long axis
    contour: NDArray[np.complex64]  # (m, h) relative amplitude and phase of harmonics 2, 3, ... h + 1

    @classmethod
    def of(
        cls,
        *,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        radius: NDArray[np.floating],
        aspect: NDArray[np.floating],
        angle: NDArray[np.floating],
        contour: NDArray[np.complexfloating],
    ) -> Contours:
        """Make contours from numbers of any precision."""
        x, y, radius, aspect, angle = (np.asarray(v, np.float32) for v in (x, y, radius, aspect, angle))
        return Contours(x, y, radius, aspect, angle, np.asarray(contour, np.complex64))

    def __len__(self) -> int:
        """Count the nuclei."""
        return len(self.x)

    def take(self, keep: NDArray[np.bool_] | Ints) -> Self:
        """Return the nuclei of a mask or of indices."""
        return type(self)(*(getattr(self, field.name)[keep] for field in fields(self)))


C = TypeVar("C", bound=Contours)


@dataclass(frozen=True, slots=True)
class NuclearPixels(Generic[C]):
    """The k pixels that nuclei cover, each with the one nucleus that owns it."""

    flat: Ints  # (k,) index into the flattened tile
    owner: Ints  # (k,) index into the nuclei
    depth: Floats  # (k,) µm inside the contour; negative in the half pixel outside
    u: Floats  # (k,) position in units of the radius, along the axes of the tile
    v: Floats  # (k,)
    nuclei: C  # those that own a pixel, in order


def rasterise(nuclei: C, *, size: int, mpp: float) -> tuple[NDArray[np.uint16], NuclearPixels[C]]:
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
    visible = np.flatnonzero(area >= MIN_AREA)
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
    nuclei: Contours, *, size: int, mpp: float
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
    for k in range(nuclei.contour.shape[1]):
        power = power * unit  # e^{i (k + 2) angle}
        bend += (power * nuclei.contour[owner, k]).real
    radius, bend = nuclei.radius[owner], np.clip(bend, 0.6, 1.4)
    relative = distance / (radius * bend)
    # the contour's distance from the centre in µm along this pixel's direction
    reach = np.maximum(np.abs(turned), np.float32(1e-4)) / relative
    near = (relative - 1) * reach < 0.5 * mpp
    flat = rows[owner, i] * size + columns[owner, j]
    return flat[near], owner[near], relative[near], reach[near], (px / radius)[near], (py / radius)[near]
