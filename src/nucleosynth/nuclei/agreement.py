"""How well masks agree, always beside what chance alone gives.

Two masks that have nothing to do with each other still overlap: at coverage p their IoU is p/(2-p). So every
agreement comes with its floor, the same measure with masks paired at random within the patient.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError


class Overlap(TypedDict):
    """Pooled IoU and Dice, each in [0, 1]; None where no tile could be counted."""

    iou: float | None
    dice: float | None


class Agreement(Overlap):
    """Agreement of masks beside its chance floor."""

    floor: Overlap


class CorrectedAgreement(TypedDict):
    """Agreement of synthetic tiles, corrected by chance and by what the segmenter reaches on real tiles."""

    iou: float | None
    floor: float | None
    ceiling: float | None
    ceiling_floor: float | None
    corrected: float | None


def mask_agreement(
    predicted: ArrayLike,
    true: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,  # noqa: ARG001
) -> Agreement:
    """Pooled IoU and Dice between two sets of masks, and their chance floor.

    Parameters
    ----------
    predicted, true : (n, h, w)
        Label images or boolean masks; every value but 0 is foreground.
    groups : (n,) str, optional
        Patient of each tile (of the donor, where tiles are synthetic). None takes all as one patient.
    seed : int
        Changes nothing: the floor is exact and draws no permutation.

    Returns
    -------
    dict
        `iou` and `dice` over all pixels of all tiles (1.0 where both sets are empty), and `floor` with the
        same two for masks permuted within patient, no tile keeping its own. The floor is exact: the expected
        intersection over all such permutations, which needs no random draws. Tiles of patients with a single
        tile cannot be permuted and are left out of the floor; with none left it is None.

    Raises
    ------
    InputError
        When the shapes differ or are not (n, h, w).

    Examples
    --------
    >>> masks = np.array([[[1, 0]], [[0, 1]]])
    >>> mask_agreement(masks, masks)
    {'iou': 1.0, 'dice': 1.0, 'floor': {'iou': 0.0, 'dice': 0.0}}
    """
    found, asked = _foreground(predicted), _foreground(true)
    if found.shape != asked.shape:
        raise InputError(
            f"masks differ in shape: predicted {found.shape}, true {asked.shape}; expected the same"
        )
    patient = _patient_index(groups, len(found))
    here = _overlap(_area(found & asked), _area(found) + _area(asked), tiles=len(found))
    return {"iou": here["iou"], "dice": here["dice"], "floor": _floor(found, asked, patient)}


def corrected_agreement(
    synthetic_predicted: ArrayLike,
    synthetic_true: ArrayLike,
    real_predicted: ArrayLike,
    real_true: ArrayLike,
    *,
    synthetic_groups: ArrayLike | None = None,
    real_groups: ArrayLike | None = None,
    seed: int = 0,  # noqa: ARG001
) -> CorrectedAgreement:
    """Agreement on synthetic tiles as a share of what the same segmenter reaches on real ones, above chance.

    Parameters
    ----------
    synthetic_predicted, synthetic_true : (n, h, w)
        Masks found in synthetic tiles, and those asked for.
    real_predicted, real_true : (m, h, w)
        Masks found in real held-out tiles, and the annotated ones.
    synthetic_groups : (n,) str, optional
        Patient of each donor.
    real_groups : (m,) str, optional
        Patient of each real tile.
    seed : int
        Changes nothing, see :func:`mask_agreement`.

    Returns
    -------
    dict
        `iou` and `floor` of the synthetic tiles, `ceiling` and `ceiling_floor` of the real ones, and
        `corrected` = (iou - floor) / (ceiling - ceiling_floor), each floor from its own predictions. Above 1
        means tissue cleaner than real, not better. None where a floor is missing, or where the segmenter is
        no better than chance on real tiles.

    Raises
    ------
    InputError
        As :func:`mask_agreement`.
    """
    synthetic = mask_agreement(synthetic_predicted, synthetic_true, groups=synthetic_groups)
    real = mask_agreement(real_predicted, real_true, groups=real_groups)
    floor, ceiling_floor = synthetic["floor"]["iou"], real["floor"]["iou"]
    corrected = None
    if None not in (synthetic["iou"], floor, real["iou"], ceiling_floor):
        above = _above(synthetic["iou"], floor)
        best = _above(real["iou"], ceiling_floor)
        corrected = above / best if best > 0 else None
    return {
        "iou": synthetic["iou"],
        "floor": floor,
        "ceiling": real["iou"],
        "ceiling_floor": ceiling_floor,
        "corrected": corrected,
    }


def _above(value: float | None, floor: float | None) -> float:
    return (value or 0.0) - (floor or 0.0)


def _foreground(masks: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(masks)
    if found.ndim != 3:
        raise InputError(f"masks have shape {found.shape}; expected (n, h, w)")
    return np.asarray(found != 0)


def _area(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _patient_index(groups: ArrayLike | None, n: int) -> NDArray[np.intp]:
    if groups is None:
        return np.zeros(n, dtype=np.intp)
    patient = np.unique(np.asarray(groups), return_inverse=True)[1]
    if patient.shape != (n,):
        raise InputError(f"groups has {patient.size} entries for {n} tiles; expected one patient per tile")
    return patient


def _floor(found: NDArray[np.bool_], asked: NDArray[np.bool_], patient: NDArray[np.intp]) -> Overlap:
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
