"""Touching nuclei: their share in real masks, and the separation of drawn ones that may not touch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def touching_share(masks: NDArray[np.integer]) -> float:
    """Return the share of the nuclei of (n, h, w) masks with a pixel edge in common with another one."""
    nuclei, touching = 0, 0
    for mask in masks:
        numbers = mask.astype(np.int64)
        nuclei += int(np.count_nonzero(np.bincount(numbers.ravel())[1:]))
        meeting = [part[_meet(*pair)] for pair in _pairs(numbers) for part in pair]
        touching += len(np.unique(np.concatenate(meeting)))
    return touching / max(nuclei, 1)


def part(mask: NDArray[np.uint16], may_touch: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Clear a line of pixels between touching nuclei, unless both may touch; the lower number loses pixels.

    Parameters
    ----------
    mask : (h, w) uint16
        Instances, 0 = background.
    may_touch : (k + 1,) bool
        Whether each nucleus, by number, may touch others.
    """
    apart = mask.copy()
    for (first, second), (one, other) in zip(_pairs(mask), _pairs(apart), strict=True):
        clash = _meet(first, second) & ~(may_touch[first] & may_touch[second])
        one[clash & (first < second)] = 0
        other[clash & (second < first)] = 0
    return apart


def _pairs(mask: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield views of all pixels and of their neighbours below, then to the right."""
    yield mask[:-1], mask[1:]
    yield mask[:, :-1], mask[:, 1:]


def _meet(first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.bool_]:
    return np.asarray((first != second) & (first > 0) & (second > 0))
