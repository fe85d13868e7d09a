"""Size and shape of nuclei, from sums over the pixels of all nuclei of all tiles at once; lengths in px."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.nuclei.instances import Numbered

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NuclearPixels:
    """The k pixels that belong to a nucleus, in the order of rows."""

    flat: Ints  # (k,) index into the flattened (n, h, w)
    owner: Ints  # (k,) index of the nucleus, from 0
    y: Ints  # (k,) row in its tile
    x: Ints  # (k,)

    @classmethod
    def of(cls, nuclei: Numbered) -> NuclearPixels:
        """Find the pixels."""
        height, width = nuclei.ids.shape[1:]
        flat = np.flatnonzero(nuclei.ids)
        row, x = np.divmod(flat, width)
        owner = nuclei.ids.reshape(-1)[flat].astype(np.int64) - 1
        return cls(flat=flat, owner=owner, y=row % height, x=x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """First and central second moments of m nuclei over their pixels' middles, (m,) float64, px and px²."""

    area: Floats
    y: Floats  # the middle of the first pixel is 0
    x: Floats
    yy: Floats
    xx: Floats
    xy: Floats

    @classmethod
    def of(cls, nuclei: Numbered, pixels: NuclearPixels) -> Moments:
        """Sum over the pixels."""
        area = nuclei.area.astype(np.float64)
        y, x = pixel_mean(pixels.y, pixels, area), pixel_mean(pixels.x, pixels, area)
        dy, dx = pixels.y - y[pixels.owner], pixels.x - x[pixels.owner]
        yy, xx, xy = (pixel_mean(product, pixels, area) for product in (dy * dy, dx * dx, dy * dx))
        return cls(area=area, y=y, x=x, yy=yy, xx=xx, xy=xy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Shape of m nuclei as parallel arrays, all (m,) float64 but ``touches_border``.

    Attributes
    ----------
    y, x
        Centroid, px; the middle of the first pixel is 0.
    area
        px.
    eccentricity
        Of the ellipse of equal second moments: 0 a circle (and a single pixel), 1 a line.
    solidity
        Pixels of the nucleus over pixels whose middle lies in the convex hull of its pixels' middles, in
        (0, 1].
    irregularity
        Share of the nucleus that lies outside the ellipse of its own area and second moments, in [0, 1).
        About 0.005 for an ellipse at any size and scale; a contour that waves with an RMS amplitude of 5 % of
        the radius has about 0.05.
    touches_border : bool
        Whether it reaches the tile's outermost pixels, so that part of it may be missing.
    edge_weight
        The larger a nucleus, the less often it lies whole in a tile: the inverse of that chance, at least 1,
        for means over whole nuclei (Miles 1974; Lantuejoul 1980); 0 where it touches the border.
    """

    y: Floats
    x: Floats
    area: Floats
    eccentricity: Floats
    solidity: Floats
    irregularity: Floats
    touches_border: NDArray[np.bool_]
    edge_weight: Floats


def nuclear_shapes(nuclei: Numbered, pixels: NuclearPixels) -> Shapes:
    """Measure the shape of every nucleus."""
    count = len(nuclei.area)
    height, width = nuclei.ids.shape[1:]
    moments = Moments.of(nuclei, pixels)
    area, yy, xx, xy = moments.area, moments.yy, moments.xx, moments.xy
    dy, dx = pixels.y - moments.y[pixels.owner], pixels.x - moments.x[pixels.owner]
    # Each pixel is a square: 1/12 keeps the ellipse of a line or of a single pixel from vanishing.
    ellipse = (yy + 1 / 12) * (xx + 1 / 12) - xy**2
    reach = (
        (xx + 1 / 12)[pixels.owner] * dy**2
        - 2 * xy[pixels.owner] * dy * dx
        + (yy + 1 / 12)[pixels.owner] * dx**2
    )
    outside = reach > (np.sqrt(ellipse) * area / np.pi)[pixels.owner]
    edge = (pixels.y == 0) | (pixels.y == height - 1) | (pixels.x == 0) | (pixels.x == width - 1)
    return Shapes(
        y=moments.y,
        x=moments.x,
        area=area,
        eccentricity=_eccentricity(yy, xx, xy),
        solidity=area / _hull_pixels(pixels, count, height),
        irregularity=pixel_mean(outside, pixels, area),
        touches_border=np.bincount(pixels.owner[edge], minlength=count) > 0,
        edge_weight=edge_weight(nuclei, pixels),
    )


def neighbour_distance(tile: Ints, y: Floats, x: Floats) -> Floats:
    """Distance from each nucleus to the nearest other one of its tile, in the unit of ``y`` and ``x``.

    Returns
    -------
    (m,) float64, NaN for a nucleus that is alone in its tile.
    """
    from scipy.spatial import cKDTree

    if len(tile) < 2:
        return np.full(len(tile), np.nan)
    apart = 2 * (float(np.ptp(y)) + float(np.ptp(x)) + 1)  # tiles lie farther apart than they are wide
    points = np.stack([y, x, apart * tile], axis=1)
    distance: Floats = cKDTree(points).query(points, k=2)[0][:, 1]
    return np.where(distance < apart / 2, distance, np.nan)


def pixel_mean(values: NDArray[Any], pixels: NuclearPixels, area: Floats) -> Floats:
    """Mean over the pixels of each nucleus of (k,) values, (m,)."""
    return np.asarray(np.bincount(pixels.owner, weights=values, minlength=len(area)) / area)


def ratio_where(numerator: NDArray[Any], denominator: NDArray[Any], known: NDArray[np.bool_]) -> Floats:
    """Divide where ``known``; NaN elsewhere."""
    ratio: Floats = np.divide(numerator, denominator, out=np.full(known.shape, np.nan), where=known)
    return ratio


def edge_weight(nuclei: Numbered, pixels: NuclearPixels) -> Floats:
    """`Shapes.edge_weight`: places of a single pixel within the tile over those of the nucleus's box."""
    count = len(nuclei.area)
    weight = np.ones(count)
    for place, length in zip((pixels.y, pixels.x), nuclei.ids.shape[1:], strict=True):
        low, high = np.full(count, length), np.full(count, -1)
        np.minimum.at(low, pixels.owner, place)
        np.maximum.at(high, pixels.owner, place)
        free = (low > 0) & (high < length - 1)
        weight *= np.divide(length - 2, length - 2 - (high - low), out=np.zeros(count), where=free)
    return weight


def _eccentricity(yy: Floats, xx: Floats, xy: Floats) -> Floats:
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    ratio = np.divide(middle - spread, middle + spread, out=np.ones_like(middle), where=middle > 0)
    return np.asarray(np.sqrt(1 - np.clip(ratio, 0, 1)))


def _hull_pixels(pixels: NuclearPixels, count: int, height: int) -> Ints:
    """Count pixels whose centre is in the convex hull of each nucleus, (m,), by Pick's theorem.

    A polygon whose corners are lattice points holds A + B/2 + 1 of them, B on its boundary: exact for lines
    and single points too. Only the first and last pixel of a row can be corners.
    """
    if not count:
        return np.zeros(0, np.int64)
    row = pixels.owner * height + pixels.y
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    ends = np.append(starts[1:], len(row)) - 1
    order = np.argsort(row[starts], kind="stable")
    rows = row[starts][order]
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    owner, y = np.divmod(rows[first], height)
    right, left = pixels.x[ends][order][last], pixels.x[starts][order][first]
    doubled, boundary = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for side in (right, -left):
        corner = _corners(owner, y, side)
        twice, on_edge = _under(owner[corner], y[corner], side[corner], count)
        doubled += twice
        boundary += on_edge
    top = np.flatnonzero(np.diff(owner, prepend=-1))
    bottom = np.append(top[1:], len(owner)) - 1
    boundary += (right - left)[top] + (right - left)[bottom]
    return (doubled + boundary) // 2 + 1


def _corners(owner: Ints, y: Ints, x: Ints) -> Ints:
    """Return the corners of the convex curve right of all points; ``y`` increases within each owner.

    A point on or behind the line between its neighbours is no corner, whichever others go too: all of them
    are dropped at once until none is left.
    """
    kept = np.arange(len(owner))
    while len(kept) > 2:
        a, b, c = kept[:-2], kept[1:-1], kept[2:]
        behind = (x[b] - x[a]) * (y[c] - y[a]) <= (x[c] - x[a]) * (y[b] - y[a])
        behind &= owner[a] == owner[c]
        if not behind.any():
            break
        kept = np.delete(kept, np.flatnonzero(behind) + 1)
    return kept


def _under(owner: Ints, y: Ints, x: Ints, count: int) -> tuple[Ints, Ints]:
    """Return twice the area between a curve and the axis x = 0, and its lattice points, by owner."""
    same = owner[1:] == owner[:-1]
    dy, dx = np.diff(y)[same], np.diff(x)[same]
    twice = dy * (x[1:] + x[:-1])[same]
    of = owner[1:][same]
    return (
        np.bincount(of, weights=twice, minlength=count).astype(np.int64),
        np.bincount(of, weights=np.gcd(dy, dx), minlength=count).astype(np.int64),
    )
