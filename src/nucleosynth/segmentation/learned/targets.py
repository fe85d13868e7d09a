"""Training targets of the networks: the depth of each pixel inside its nucleus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def depth_maps(labels: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the depth of each pixel inside its own nucleus.

    Parameters
    ----------
    labels : (h, w) integer
        Instances, 0 = background; they may touch.

    Returns
    -------
    relative : (h, w) float32
        Distance to the nearest pixel outside the nucleus, over the largest of the nucleus: in (0, 1], 0
        outside.
    depth : (h, w) float32
        The same distance in px; a nucleus cut by the border of the picture is as deep there as it is wide.
    """
    from scipy import ndimage

    wide = np.pad(np.asarray(labels, np.int64), 1, mode="edge")
    same = np.ones(wide.shape, bool)
    for axis in (0, 1):
        differs = np.diff(wide, axis=axis) != 0
        later = (slice(1, None), slice(None))[:: 1 if axis == 0 else -1]
        earlier = (slice(None, -1), slice(None))[:: 1 if axis == 0 else -1]
        same[later] &= ~differs
        same[earlier] &= ~differs
    inside = wide > 0
    # 1 at a pixel that touches another nucleus or the background, growing inwards
    depth = np.where(inside, ndimage.distance_transform_edt(inside & same) + 1, 0)[1:-1, 1:-1]
    numbers = np.asarray(labels)
    deepest = ndimage.maximum(depth, numbers, np.arange(int(numbers.max(initial=0)) + 1))
    deepest = np.maximum(np.atleast_1d(deepest), 1)
    return (depth / deepest[numbers]).astype(np.float32), depth.astype(np.float32)
