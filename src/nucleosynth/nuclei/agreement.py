"""Agreement of masks, always with its chance level.

Two unrelated masks still overlap: at coverage p their IoU is p/(2-p). So every agreement is given with its
chance level, the same measure with masks paired at random within the patient.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.arguments import as_int, shown
from nucleosynth.data.arrays import as_masks
from nucleosynth.errors import InputError
from nucleosynth.nuclei.instances import InstanceScores, instance_scores, number_nuclei, overlaps
from nucleosynth.seeds import rng


class Overlap(TypedDict):
    """Pooled IoU and Dice, each in [0, 1]; None if no tile could be counted."""

    iou: float | None
    dice: float | None


class Scores(Overlap, InstanceScores):
    """Agreement pixel by pixel and nucleus by nucleus."""


class Agreement(Scores):
    """Agreement of masks with its chance level."""

    chance: Scores


class CorrectedAgreement(TypedDict):
    """Agreement of synthetic tiles, corrected by chance level and by the segmenter's score on real tiles."""

    iou: float | None
    chance: float | None
    ceiling: float | None
    ceiling_chance: float | None
    corrected: float | None


PERMUTATIONS = 10
"""Number of permutations for the chance level of the instance scores."""


def mask_agreement(
    predicted: ArrayLike, true: ArrayLike, *, groups: ArrayLike | None = None, seed: int = 0
) -> Agreement:
    """Return the agreement between two sets of masks, by pixel and by nucleus, with its chance level.

    Parameters
    ----------
    predicted, true : (n, h, w) integer or bool
        Label images, or binary masks, whose 4-connected components are the nuclei: a set that is boolean or
        has a single value other than 0.
    groups : (n,) str, optional
        Patient of each tile (of the donor, if tiles are synthetic). None treats all as one patient.
    seed : int
        Decides the permutations for the chance level of the instance scores.

    Returns
    -------
    dict
        All are pooled: counts are summed over tiles before any ratio is computed, and 1.0 if both sets are
        empty.

        - `iou`, `dice`: over all pixels.
        - `precision`, `recall`, `f1`: of nuclei, which match where their IoU is above 0.5.
        - `dq`, `sq`, `pq`: detection quality, the same number as `f1`; segmentation quality, the mean IoU of
          matches (0.0 without one); panoptic quality, their product (Kirillov et al. 2019).
        - `aji`: aggregated Jaccard index by its first, greedy definition (Kumar et al. 2017), in which
          several true nuclei may be assigned to the same predicted one.
        - `ap`: TP / (TP + FP + FN), averaged over the IoU thresholds 0.50, 0.55, ... 0.95 (Data Science
          Bowl 2018; StarDist gives it for one threshold). Masks have no confidence, so it is not an area
          under a curve.
        - `chance`: the same for masks permuted within patient, no tile keeping its own. For `iou` and `dice`
          it is exact: the expected intersection over all such permutations. For the others it is pooled over
          :data:`PERMUTATIONS` drawn ones. Tiles of patients with a single tile cannot be permuted and are
          left out of the chance level; with none left it is None.

        The order of the tiles changes nothing.

    Raises
    ------
    InputError
        The shapes differ or are not (n, h, w), or the masks are neither labels nor booleans.

    Examples
    --------
    >>> masks = np.array([[[1, 0]], [[0, 1]]])
    >>> scores = mask_agreement(masks, masks)
    >>> scores["iou"], scores["pq"], scores["chance"]["iou"]
    (1.0, 1.0, 0.0)
    """
    found, asked = (
        as_masks(masks, name=name, single=False)
        for masks, name in ((predicted, "predicted masks"), (true, "true masks"))
    )
    seed = as_int(seed, "seed")
    if found.shape != asked.shape:
        raise InputError(
            f"masks differ in shape: predicted {found.shape}, true {asked.shape}; expected the same"
        )
    patient = _patient_index(groups, len(found))
    pixels = _pixel_scores(found != 0, asked != 0, patient)
    nuclei = _nucleus_scores(found, asked, patient, seed=seed)
    return {**pixels[0], **nuclei[0], "chance": {**pixels[1], **nuclei[1]}}


def corrected_agreement(
    synthetic_predicted: ArrayLike,
    synthetic_true: ArrayLike,
    real_predicted: ArrayLike,
    real_true: ArrayLike,
    *,
    synthetic_groups: ArrayLike | None = None,
    real_groups: ArrayLike | None = None,
    seed: int = 0,
) -> CorrectedAgreement:
    """Return the agreement on synthetic tiles relative to that of the same segmenter on real tiles.

    Parameters
    ----------
    synthetic_predicted, synthetic_true : (n, h, w)
        Masks found in synthetic tiles, and the requested ones.
    real_predicted, real_true : (m, h, w)
        Masks found in real held-out tiles, and the annotated ones.
    synthetic_groups : (n,) str, optional
        Patient of each donor.
    real_groups : (m,) str, optional
        Patient of each real tile.
    seed : int
        See :func:`mask_agreement`.

    Returns
    -------
    dict
        See :func:`correct`.

    Raises
    ------
    InputError
        As :func:`mask_agreement`.
    """
    return correct(
        mask_agreement(synthetic_predicted, synthetic_true, groups=synthetic_groups, seed=seed),
        mask_agreement(real_predicted, real_true, groups=real_groups, seed=seed),
    )


def correct(synthetic: Agreement, real: Agreement) -> CorrectedAgreement:
    """Correct the IoU of synthetic tiles by chance level and by the ceiling of real tiles.

    Returns
    -------
    dict
        `iou` and `chance` of the synthetic tiles, `ceiling` and `ceiling_chance` of the real ones, and
        `corrected` = (iou - chance) / (ceiling - ceiling_chance), each chance from its own predictions.
        Above 1 the nuclei are easier to find than in real tiles, which is not better. None if a chance level
        is missing, or if the segmenter is not better than chance on real tiles.
    """
    chance, ceiling_chance = synthetic["chance"]["iou"], real["chance"]["iou"]
    corrected = None
    if None not in (synthetic["iou"], chance, real["iou"], ceiling_chance):
        above = _above(synthetic["iou"], chance)
        best = _above(real["iou"], ceiling_chance)
        corrected = above / best if best > 0 else None
    return {
        "iou": synthetic["iou"],
        "chance": chance,
        "ceiling": real["iou"],
        "ceiling_chance": ceiling_chance,
        "corrected": corrected,
    }


def _above(value: float | None, chance: float | None) -> float:
    return (value or 0.0) - (chance or 0.0)


def _area(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _patient_index(groups: ArrayLike | None, n: int) -> NDArray[np.intp]:
    if groups is None:
        return np.zeros(n, dtype=np.intp)
    try:
        patient = np.unique(np.asarray(groups), return_inverse=True)[1]
    except (TypeError, ValueError):  # what cannot be sorted, or is ragged
        raise InputError(f"groups is {shown(groups)}; expected one patient per tile") from None
    if patient.shape != (n,):
        raise InputError(f"groups has {patient.size} entries for {n} tiles; expected one patient per tile")
    return patient


def _pixel_scores(
    found: NDArray[np.bool_], asked: NDArray[np.bool_], patient: NDArray[np.intp]
) -> tuple[Overlap, Overlap]:
    here = _overlap(_area(found & asked), _area(found) + _area(asked), tiles=len(found))
    return here, _pixel_chance(found, asked, patient)


def _pixel_chance(found: NDArray[np.bool_], asked: NDArray[np.bool_], patient: NDArray[np.intp]) -> Overlap:
    both, total, tiles = 0.0, 0, 0
    for one in np.unique(patient):
        of_one = patient == one
        size = int(of_one.sum())
        if size < 2:
            continue
        p, t = found[of_one], asked[of_one]
        # All pairs i != j at once: per pixel, sum over i times sum over j, less the pairs i = j.
        every = float((p.sum(0, dtype=np.float64) * t.sum(0, dtype=np.float64)).sum())
        both += (every - _area(p & t)) / (size - 1)
        total += _area(p) + _area(t)
        tiles += size
    return _overlap(both, total, tiles=tiles)


def _overlap(both: float, total: int, *, tiles: int) -> Overlap:
    if not tiles:
        return {"iou": None, "dice": None}
    if not total:
        return {"iou": 1.0, "dice": 1.0}
    return {"iou": both / (total - both), "dice": 2 * both / total}


def _nucleus_scores(
    found: NDArray[Any], asked: NDArray[Any], patient: NDArray[np.intp], *, seed: int
) -> tuple[InstanceScores, InstanceScores]:
    ours, theirs = number_nuclei(found), number_nuclei(asked)
    here = instance_scores([overlaps(ours, theirs)] if len(patient) else [])
    several = np.bincount(patient)[patient] >= 2
    if not several.any():
        return here, instance_scores([])
    order = _content_order(found[several], asked[several], patient[several])
    ours, theirs = ours.of_tiles(several), theirs.of_tiles(several)
    exchanges = (_exchange(order, patient[several], seed=seed, draw=draw) for draw in range(PERMUTATIONS))
    return here, instance_scores(overlaps(ours, theirs, rows=rows) for rows in exchanges)


def _content_order(found: NDArray[Any], asked: NDArray[Any], patient: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return rows sorted by patient and content of the tile, as draws must not depend on the tile order.

    They must not depend on the numbering of nuclei either: the key of a tile is its foreground and where its
    labels change.
    """
    pairs = zip(found, asked, strict=True)
    keys = [blake2b(_outlines(a) + _outlines(b), digest_size=16).hexdigest() for a, b in pairs]
    return np.lexsort((np.array(keys), patient))


def _outlines(mask: NDArray[Any]) -> bytes:
    parts = (mask != 0, mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1])
    return b"".join(np.packbits(part).tobytes() for part in parts)


def _exchange(
    order: NDArray[np.intp], patient: NDArray[np.intp], *, seed: int, draw: int
) -> NDArray[np.int64]:
    """Return rows to compare with: a random cycle over the tiles of each patient, so none keeps its own."""
    rows = np.empty(len(order), np.int64)
    for one in np.unique(patient):
        own = order[patient[order] == one]
        cycle = own[rng(seed, f"agreement-floor/{one}", draw).permutation(len(own))]
        rows[cycle] = np.roll(cycle, 1)
    return rows
