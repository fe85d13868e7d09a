"""The stain descriptor of each slide, measured on its tiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nucleosynth.data.stain import stain_descriptor
from nucleosynth.data.tileset import TileSet

TILES_PER_DESCRIPTOR = 64


def slide_descriptors(tiles: TileSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return for each row the stain descriptor of its slide, or of its frame where the slide is unknown.

    Only the given rows are read, so that nothing of other patients enters. Returns (len(rows), 6) float32.
    """
    frames = np.array(
        [f or t for f, t in zip(tiles.column("frame_id"), tiles.column("tile_id"), strict=True)]
    )
    groups = np.where(tiles.slides == "", frames, tiles.slides)[rows]
    names, owner = np.unique(groups, return_inverse=True)
    result = np.zeros((len(rows), 6), np.float32)
    for index in range(len(names)):
        members = np.flatnonzero(owner == index)
        sample = rows[
            members[np.linspace(0, len(members) - 1, min(len(members), TILES_PER_DESCRIPTOR)).astype(int)]
        ]
        result[members] = stain_descriptor(tiles.images[sample])
    return result
