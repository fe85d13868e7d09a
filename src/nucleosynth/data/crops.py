"""Crops at any position of a frame, from the tiles of its grid.

Tiles of a grid touch each other, so four of them are a picture of twice their size. A crop of it is a tile
that the grid has not, nuclei cut by the grid made whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nucleosynth.data.tileset import TileSet

Scalar = TypeVar("Scalar", bound=np.generic)
Positions = npt.NDArray[np.int64]
OFF_GRID = 0.02
"""Largest offset of a tile from its place in the grid, relative to the tile's size."""


@dataclass(frozen=True)
class Crops:
    """Pixels (n, h, w, 3) uint8, instances (n, h, w) int32, 0 = background; ``has_mask`` (n,) bool."""

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.int32]
    has_mask: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, tiles: TileSet, rows: Positions) -> Crops:
        """Return tiles as they are."""
        images, has_mask = np.asarray(tiles.images[rows]), tiles.has_mask[rows]
        if tiles.masks is None:
            return cls(images, np.zeros(images.shape[:3], np.int32), has_mask)
        return cls(images, np.asarray(tiles.masks[rows]).astype(np.int32), has_mask)


class Mosaic:
    """Some tiles of a TileSet with their neighbours.

    Four tiles make a block where they touch in one frame and share their label. No other tile is read.

    Parameters
    ----------
    rows
        Rows of the TileSet; a *position* counts in these.
    """

    def __init__(self, tiles: TileSet, rows: Positions) -> None:
        self.tiles, self.rows = tiles, rows
        neighbour = _neighbours(tiles, rows)
        self.blocks, self.first = _blocks(neighbour, tiles.labels[rows])
        self._numbers, self._start = self._numbered(neighbour)

    def __bool__(self) -> bool:
        """Whether any tile has neighbours."""
        return len(self.blocks) > 0

    def draw(self, picked: Positions, draw: np.random.Generator) -> Crops:
        """Return for each picked position a random crop of a block it is part of, or the tile itself."""
        if not self:
            return Crops.of(self.tiles, self.rows[picked])
        side = self.tiles.size[0]
        count = np.diff(self.first)[picked]
        chosen = self.first[picked] + (draw.random(len(picked)) * count).astype(np.int64)
        corner = draw.integers(side + 1, size=(len(picked), 2))
        alone = count == 0
        corner[alone] = 0
        block = np.repeat(picked[:, None], 4, axis=1)
        block[~alone] = self.blocks[chosen[~alone]]  # (n, 4)
        rows = self.rows[block]
        has_mask = self.tiles.has_mask[rows]
        images = _crop(np.asarray(self.tiles.images)[rows], corner)
        if self.tiles.masks is None:
            masks = np.zeros(images.shape[:3], np.int32)
        else:
            local = np.asarray(self.tiles.masks)[rows] * has_mask[..., None, None]
            masks = self._numbers[_crop(local + self._start[block][..., None, None], corner)]
        return Crops(images, masks, np.asarray(has_mask.all(axis=1)))

    def _numbered(self, neighbour: dict[str, Positions]) -> tuple[npt.NDArray[np.int32], Positions]:
        """Give nuclei numbers that are unique over all tiles, with equal numbers across a seam.

        Returns the number of every (tile, local number) and where the local numbers of each tile start.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count, side = len(self.rows), self.tiles.size[0]
        if self.tiles.masks is None or not self:
            return np.zeros(1, np.int32), np.zeros(count, np.int64)
        sizes = np.ones(count, np.int64)
        edges = {name: np.zeros((count, side), np.int64) for name in ("left", "right", "top", "bottom")}
        for position in np.flatnonzero(self.tiles.has_mask[self.rows]).tolist():
            mask = self.tiles.masks[self.rows[position]]
            sizes[position] = int(mask.max()) + 1
            for name, line in zip(edges, (mask[:, 0], mask[:, -1], mask[0], mask[-1]), strict=True):
                edges[name][position] = line
        start = np.cumsum(sizes) - sizes
        pairs = []
        for direction, near, far in (("right", "right", "left"), ("below", "bottom", "top")):
            here = np.flatnonzero(neighbour[direction] >= 0)
            there = neighbour[direction][here]
            a, b = edges[near][here], edges[far][there]
            touching = (a > 0) & (b > 0)
            pairs.append(np.stack([(a + start[here, None])[touching], (b + start[there, None])[touching]]))
        joined = np.concatenate(pairs, axis=1)
        total = int(sizes.sum())
        graph = coo_array((np.ones(joined.shape[1], bool), (joined[0], joined[1])), shape=(total, total))
        numbers = connected_components(graph, directed=False)[1].astype(np.int32) + 1
        numbers[start] = 0
        return numbers, start


def _neighbours(tiles: TileSet, rows: Positions) -> dict[str, Positions]:
    """Return the positions right of and below each, -1 where there is none."""
    side = tiles.size[0]
    frames, xs, ys = (tiles.column(name) for name in ("frame_id", "x", "y"))
    scales = [(own or 1.0) / (tiles.mpp or own or 1.0) for own in tiles.column("source_mpp")]
    places: dict[tuple[str, int, int], int] = {}
    cells: list[tuple[str, int, int] | None] = []
    corners: dict[str, tuple[float, float]] = {}
    for position, row in enumerate(rows.tolist()):
        cell = None
        if frames[row] and xs[row] is not None and ys[row] is not None:
            corner = corners.setdefault(frames[row], (xs[row], ys[row]))
            across = np.array([xs[row] - corner[0], ys[row] - corner[1]]) * scales[row] / side
            whole = np.rint(across)
            if np.abs(across - whole).max() <= OFF_GRID:
                cell = (frames[row], int(whole[0]), int(whole[1]))
                places[cell] = position
        cells.append(cell)

    def neighbour_at(dx: int, dy: int) -> Iterator[int]:
        for cell in cells:
            yield -1 if cell is None else places.get((cell[0], cell[1] + dx, cell[2] + dy), -1)

    return {
        "right": np.fromiter(neighbour_at(1, 0), np.int64, len(rows)),
        "below": np.fromiter(neighbour_at(0, 1), np.int64, len(rows)),
    }


def _blocks(neighbour: dict[str, Positions], labels: npt.NDArray[np.int64]) -> tuple[Positions, Positions]:
    """Return blocks (k, 4) in reading order, sorted by a member, and where those of each member start."""
    right, below = neighbour["right"], neighbour["below"]
    here = np.flatnonzero((right >= 0) & (below >= 0))
    across = right[below[here]]
    here, across = here[across >= 0], across[across >= 0]
    block = np.stack([here, right[here], below[here], across], axis=1)
    block = block[(labels[block] == labels[block[:, :1]]).all(axis=1)]
    member = block.reshape(-1)
    order = np.argsort(member, kind="stable")
    counts = np.bincount(member, minlength=len(labels))
    return block[order // 4], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _crop(parts: npt.NDArray[Scalar], corner: Positions) -> npt.NDArray[Scalar]:
    """Cut (n, s, s, ...) at the corners (n, 2) y, x out of (n, 4, s, s, ...) tiles in reading order."""
    n, _, side = parts.shape[:3]
    tail = parts.shape[4:]
    whole = parts.reshape(n, 2, 2, side, side, *tail).swapaxes(2, 3).reshape(n, 2 * side, 2 * side, *tail)
    span = np.arange(side)
    at_y, at_x = corner[:, :1] + span, corner[:, 1:] + span
    cut = whole[np.arange(n)[:, None, None], at_y[:, :, None], at_x[:, None, :]]
    return np.ascontiguousarray(cut)
