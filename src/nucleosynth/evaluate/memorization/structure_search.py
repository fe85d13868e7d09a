"""Search for the nearest tile by structure: turned, mirrored or shifted, with any stain and contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.stain import rgb_to_od
from nucleosynth.errors import InputError

TURNS = 8
CELLS, WINDOW, REACH = 16, 12, 2
"""Tiles are first compared at CELLS cells per edge, by windows of WINDOW cells, shifted by up to REACH."""
OFFSETS = [(y, x) for y in range(2 * REACH + 1) for x in range(2 * REACH + 1)]
CANDIDATES = 8
OPAQUE, BLACK, FAINT = 1.0, 1.8, 0.03
"""Optical densities: nearly all tissue is below the first, none above the second, glass varies by less."""
LEAST_SPREAD = 0.2
"""Fraction of the contrast of tissue: a window with less contrast matches nothing."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Matches:
    """The nearest reference of each query.

    ``similarity`` (n,) is the correlation of the windows, at most 1; ``reference`` (n,) the row; ``turn``
    (n,) the turn of the query, one of the eight of :func:`turned`; ``shift`` (n, 2) the offset in px (y, x)
    of its content from that of the reference.
    """

    similarity: Floats
    reference: NDArray[np.int64]
    turn: NDArray[np.int64]
    shift: NDArray[np.int64]


def turned(images: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return square images (n, s, s, ...) in one of their eight turns: 0-3 quarter turns, 4-7 mirrored."""
    quarter = np.rot90(images, turn % 4, axes=(1, 2))
    return quarter if turn < 4 else np.flip(quarter, axis=2)


class StructureSearch:
    """A search for the nearest reference in structure, independent of stain and contrast.

    Parameters
    ----------
    references
        (m, s, s, 3) uint8, s a multiple of 16; their structure is computed once.
    """

    def __init__(self, references: NDArray[np.uint8]) -> None:
        self._pool = _checked_group(references) // CELLS
        self._known = _structure(references)
        self._coarse = _windows(_pooled(self._known, self._pool), [(REACH, REACH)], WINDOW)[:, 0]  # m c

    def __call__(
        self, queries: NDArray[np.uint8], *, apart: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None
    ) -> Matches:
        """Return the nearest reference of each query.

        Parameters
        ----------
        queries
            (n, s, s, 3) uint8.
        apart
            Patients of queries (n,) and of references (m,): tiles of the query's own patient are left out.

        Raises
        ------
        InputError
            Tiles have another shape than the references, or there are none.
        """
        _checked_group(queries, like=self._known.shape[1])
        found = [
            self._nearest(query, forbidden=None if apart is None else apart[1] == apart[0][row])
            for row, query in enumerate(_structure(queries))
        ]
        similarity, reference, turn, y, x = (np.array(part) for part in zip(*found, strict=True))
        return Matches(similarity.astype(np.float32), reference, turn, np.stack([y, x], axis=1))

    def _nearest(
        self, query: Floats, *, forbidden: NDArray[np.bool_] | None
    ) -> tuple[float, int, int, int, int]:
        """Return similarity, row, turn and shift: the best of a few candidates of the coarse comparison."""
        versions = np.concatenate([turned(query[None], turn) for turn in range(TURNS)])  # 8 s s
        windows = _windows(_pooled(versions, self._pool), OFFSETS, WINDOW)  # 8 o c
        scores = windows.reshape(-1, windows.shape[-1]) @ self._coarse.T  # 8*o m
        if forbidden is not None:
            scores[:, forbidden] = -np.inf
        best = scores.max(axis=0)
        rows = np.argpartition(-best, min(CANDIDATES, len(best)) - 1)[:CANDIDATES]
        refined = []
        for row in rows[np.isfinite(best[rows])].tolist():
            turn, offset = divmod(int(scores[:, row].argmax()), len(OFFSETS))
            refined.append(
                (*_refined(versions[turn], self._known[row], OFFSETS[offset], self._pool), row, turn)
            )
        if not refined:
            return -1.0, -1, 0, 0, 0
        similarity, y, x, row, turn = max(refined)
        return similarity, row, turn, y, x


def _checked_group(images: NDArray[np.uint8], *, like: int | None = None) -> int:
    """Return the size of square RGB tiles; refuse one that does not divide into cells or is not ``like``."""
    shape = images.shape[1:]
    side = like or shape[0]
    if shape != (side, side, 3) or side % CELLS:
        one = "" if like is None else f" and of {like} px"
        raise InputError(
            f"copies: tiles of shape {shape}{one}; expected squares of one size, a multiple of {CELLS} px"
        )
    if not len(images):
        raise InputError("copies: no tile to compare; give some queries and some references")
    return int(shape[0])


def _refined(query: Floats, reference: Floats, offset: tuple[int, int], pool: int) -> tuple[float, int, int]:
    """Return the best similarity near a coarse offset at full resolution, and the shift in px."""
    side = reference.shape[0]
    window, middle = WINDOW * pool, REACH * pool
    spans = [range(max(0, (o - 1) * pool), min(side - window, (o + 1) * pool) + 1) for o in offset]
    places = [(y, x) for y in spans[0] for x in spans[1]]
    wanted = _windows(reference[None], [(middle, middle)], window)[0, 0]
    scores = _windows(query[None], places, window)[0] @ wanted
    best = int(scores.argmax())
    return float(scores[best]), places[best][0] - middle, places[best][1] - middle


def _structure(images: NDArray[np.uint8]) -> Floats:
    """Return the mean optical density, blurred, minus its surroundings, over their spread: (n, s, s).

    So every nucleus and fibre has equal weight; otherwise one dark blob would decide. The black area beyond
    the end of a scan has no structure.
    """
    from scipy.ndimage import gaussian_filter

    side = images.shape[1]
    fine, wide = (0, side / 64, side / 64), (0, side / 16, side / 16)
    found = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), 256):
        part = slice(start, start + 256)
        density = rgb_to_od(np.asarray(images[part])).mean(axis=-1)
        tissue = (density < BLACK).astype(np.float32)
        weight = gaussian_filter(tissue, wide).clip(1e-3)
        density = gaussian_filter(density.clip(0, OPAQUE) * tissue, fine)
        density /= gaussian_filter(tissue, fine).clip(1e-3)
        density = (density - gaussian_filter(density * tissue, wide) / weight) * tissue
        found[part] = density / (np.sqrt(gaussian_filter(density**2, wide) / weight) + FAINT)
    return found


def _pooled(maps: Floats, pool: int) -> Floats:
    n, side, _ = maps.shape
    cells = side // pool
    return np.asarray(maps.reshape(n, cells, pool, cells, pool).mean(axis=(2, 4)), np.float32)


def _windows(maps: Floats, corners: list[tuple[int, int]], window: int) -> Floats:
    """Cut windows, (n, corners, window * window), each with mean 0 and length 1, empty ones shorter."""
    cut = np.stack([maps[:, y : y + window, x : x + window] for y, x in corners], axis=1)
    flat = cut.reshape(*cut.shape[:2], -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    length = np.sqrt((flat**2).sum(axis=-1, keepdims=True))
    least = LEAST_SPREAD * window
    return np.asarray(flat / np.maximum(length, least), np.float32)
