"""Nuclei as instances: their numbers over all tiles, overlapping pairs, and scores from these overlaps.

Everything is counted over all nuclei of all tiles at once. Along a row of pixels the same pair of labels
repeats, so runs are counted instead of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.data.arrays import checked_masks

Ints = NDArray[np.int64]

AP_TWENTIETHS = tuple(range(10, 20))
"""IoU thresholds of AP in twentieths, 0.50, 0.55, ... 0.95: whole numbers compare exactly."""

BLOCK = 256  # tiles that are processed together


class InstanceScores(TypedDict):
    """Agreement by nucleus, each in [0, 1]; None if no tile could be counted."""

    aji: float | None
    pq: float | None
    dq: float | None
    sq: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    ap: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """Nuclei of n tiles with consecutive numbers: 0 is background, 1..m nuclei in order of tile and label.

    Attributes
    ----------
    ids : (n, h, w) int32
        Number of the nucleus that a pixel belongs to.
    area : (m,) int64
        px.
    tile : (m,) int64
        The nucleus's tile.
    label : (m,) int64
        Its label in that tile; for binary masks, the number of its component.
    """

    ids: NDArray[np.int32]
    area: Ints
    tile: Ints
    label: Ints

    def of_tiles(self, keep: NDArray[np.bool_]) -> Numbered:
        """Return the nuclei of some of the tiles, numbered again."""
        kept = keep[self.tile]
        number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)
        return Numbered(
            ids=number[self.ids[keep]],
            area=self.area[kept],
            tile=(np.cumsum(keep) - 1)[self.tile[kept]],
            label=self.label[kept],
        )


def number_nuclei(masks: ArrayLike, *, binary: bool | None = None) -> Numbered:
    """Give consecutive numbers to the nuclei of all tiles.

    Parameters
    ----------
    masks : (n, h, w) integer or bool
        Label images, gaps allowed: pixels of one label in one tile are one nucleus, connected or not. Where
        masks are boolean, or have a single value other than 0 over all tiles, they are binary: their
        4-connected components are the nuclei.
    binary : bool, optional
        Whether masks are binary; None decides from the masks. Give it when tiles are passed in parts.

    Raises
    ------
    InputError
        The shape is not (n, h, w), or the dtype neither integer nor boolean.
    """
    array = checked_masks(masks)
    if array.size and (is_binary(array) if binary is None else binary):
        array = _components(array != 0)
    ids = np.zeros(array.shape, np.int32)
    flat = np.flatnonzero(array)
    labels = array.reshape(-1)[flat].astype(np.int64)
    if not len(flat):
        return Numbered(ids=ids, area=_empty(), tile=_empty(), label=_empty())
    tiles = flat // (array.shape[1] * array.shape[2])
    least = int(labels.min())
    span = int(labels.max()) - least + 1
    values, area, number = _tally(tiles * span + (labels - least))
    ids.reshape(-1)[flat] = number + 1
    return Numbered(ids=ids, area=area, tile=values // span, label=values % span + least)


def is_binary(masks: NDArray[Any]) -> bool:
    """Return whether masks are boolean, or have a single value other than 0; stop reading once decided."""
    if masks.dtype == np.bool_:
        return True
    value = 0
    for start in range(0, len(masks), BLOCK):
        block = masks[start : start + BLOCK]
        one = int(block.max(initial=0)) or int(block.min(initial=0))
        if not one:
            continue
        if (value and one != value) or not np.all((block == 0) | (block == one)):
            return False
        value = one
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pairs of a predicted and a true nucleus that share a pixel, and the nuclei they come from.

    Attributes
    ----------
    predicted, true : (k,) int64
        Indices of the pair's nuclei, into ``predicted_area`` and ``true_area``.
    shared : (k,) int64
        px.
    predicted_area, true_area : (p,), (t,) int64
        px, of all nuclei, those in no pair too.
    """

    predicted: Ints
    true: Ints
    shared: Ints
    predicted_area: Ints
    true_area: Ints

    @property
    def union(self) -> Ints:
        """Union of each pair, (k,) int64, px."""
        return self.predicted_area[self.predicted] + self.true_area[self.true] - self.shared


def overlaps(predicted: Numbered, true: Numbered, *, rows: Ints | None = None) -> Overlaps:
    """Count the pixels that each pair of a predicted and a true nucleus shares.

    Parameters
    ----------
    predicted, true
        Nuclei of the same n tiles.
    rows : (n,) int64, optional
        Compare predicted tile i with true tile ``rows[i]``, a permutation; None compares tile i with tile i.
    """
    asked = true.ids if rows is None else true.ids[rows]
    both = np.flatnonzero((predicted.ids != 0) & (asked != 0))
    span = len(true.area) + 1
    code = predicted.ids.reshape(-1)[both].astype(np.int64) * span + asked.reshape(-1)[both]
    values, shared, _ = _tally(code)
    return Overlaps(
        predicted=values // span - 1,
        true=values % span - 1,
        shared=shared,
        predicted_area=predicted.area,
        true_area=true.area,
    )


def instance_scores(comparisons: Iterable[Overlaps]) -> InstanceScores:
    """Return scores over all nuclei of one or more comparisons; counts are summed before any ratio.

    A pair matches if its IoU is above the threshold. At 0.5 and above a nucleus is in at most one such pair,
    so no assignment is needed. All scores are 1 if no nucleus exists in either set, and None without a
    comparison. Definitions: :func:`nucleosynth.nuclei.agreement.mask_agreement`.
    """
    counts = [AreaCounts.of(found) for found in comparisons]
    if not counts:
        return dict.fromkeys(InstanceScores.__annotations__)  # type: ignore[return-value]
    predicted, true = sum(c.predicted for c in counts), sum(c.true for c in counts)
    nuclei = predicted + true
    if not nuclei:
        return dict.fromkeys(InstanceScores.__annotations__, 1.0)  # type: ignore[return-value]
    hits = np.sum([c.hits for c in counts], axis=0)
    matched = int(hits[0])
    dq = 2 * matched / nuclei
    sq = math.fsum(c.matched_iou for c in counts) / matched if matched else 0.0
    return {
        "aji": sum(c.shared for c in counts) / sum(c.joined for c in counts),
        "pq": dq * sq,
        "dq": dq,
        "sq": sq,
        "f1": dq,
        "precision": matched / predicted if predicted else 0.0,
        "recall": matched / true if true else 0.0,
        "ap": float(np.mean(hits / (nuclei - hits))),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaCounts:
    """Counts of one comparison for the scores; ``hits[i]`` pairs have an IoU above ``AP_TWENTIETHS[i]``."""

    predicted: int
    true: int
    hits: Ints
    matched_iou: float
    shared: int  # of the aggregated Jaccard index, and below its union
    joined: int

    @classmethod
    def of(cls, found: Overlaps) -> AreaCounts:
        """Count the overlaps of one set of tiles."""
        hit = 20 * found.shared[:, None] > found.union[:, None] * np.array(AP_TWENTIETHS)
        iou = found.shared / found.union
        shared, joined = _aggregated(found, iou)
        return cls(
            predicted=len(found.predicted_area),
            true=len(found.true_area),
            hits=hit.sum(0),
            matched_iou=math.fsum(iou[hit[:, 0]]),
            shared=shared,
            joined=joined,
        )


def _aggregated(found: Overlaps, iou: NDArray[np.float64]) -> tuple[int, int]:
    """Return numerator and denominator of the aggregated Jaccard index, Kumar et al. 2017, algorithm 1.

    Each true nucleus is assigned the predicted one of largest IoU, also if others are assigned it too;
    predicted nuclei without an assignment add to the union.
    """
    order = np.lexsort((found.shared, iou, found.true))
    last = np.flatnonzero(np.diff(found.true[order], append=-1))
    best = order[last]  # one pair per true nucleus that meets any
    used = np.zeros(len(found.predicted_area), bool)
    used[found.predicted[best]] = True
    missed = int(found.true_area.sum()) - int(found.true_area[found.true[best]].sum())
    spurious = int(found.predicted_area[~used].sum())
    return int(found.shared[best].sum()), int(found.union[best].sum()) + missed + spurious


def _tally(code: Ints) -> tuple[Ints, Ints, Ints]:
    """Sorted distinct values of a flat array, how often each occurs, and the index of each entry's value."""
    starts = np.flatnonzero(np.diff(code, prepend=code[:1] - 1))
    lengths = np.diff(starts, append=len(code))
    values, of_run = np.unique(code[starts], return_inverse=True)
    counts = np.bincount(of_run, weights=lengths, minlength=len(values)).astype(np.int64)
    return values, counts, np.repeat(of_run, lengths)


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    from scipy import ndimage

    cross = np.zeros((3, 3, 3), bool)
    cross[1] = ndimage.generate_binary_structure(2, 1)  # tiles are not neighbours
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, cross, output=labels)
    first = np.min(labels, axis=(1, 2), where=mask, initial=np.iinfo(np.int32).max, keepdims=True)
    return np.where(mask, labels - first + 1, 0)


def _empty() -> Ints:
    return np.zeros(0, np.int64)
