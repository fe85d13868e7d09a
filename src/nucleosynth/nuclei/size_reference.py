"""Nuclear size relative to benign nuclei, and the resulting grade by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError

MIN_REFERENCE = 20
"""Fewest whole nuclei for a measured benign reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignReference:
    """Diameter of benign nuclei in µm, None if there is none, and its origin."""

    diameter_um: float | None
    rule: str


def given_reference(diameter_um: float) -> BenignReference:
    """Return a reference from a given benign diameter.

    Raises
    ------
    InputError
        The diameter is impossible for a nucleus.
    """
    if not (isinstance(diameter_um, int | float) and 1 <= diameter_um <= 50):
        raise InputError(f"benign diameter is {diameter_um!r} µm; expected 1 to 50, such as 6.4")
    return BenignReference(diameter_um=float(diameter_um), rule="given")


def benign_reference(
    nuclei: pa.Table,
    labels: ArrayLike,
    *,
    classes: Sequence[str],
    ordinal: bool = False,
    benign: str | None = None,
) -> BenignReference:
    """Measure the diameter of benign nuclei: the median, by edge weight, of whole nuclei in tiles of a class.

    The class is the named one, or the lowest if classes are ordered. If the lowest class is not benign
    tissue, such as grade 1, ratios are too small: name benign tissue or give the diameter instead.

    Parameters
    ----------
    nuclei
        Result of :func:`~nucleosynth.nuclei.morphology.nuclei_table`.
    labels : (n,) int
        Class of each tile; -1 = unlabelled.
    classes, ordinal
        Names that the labels index, and whether they are ordered.
    benign
        One of the classes.

    Raises
    ------
    InputError
        The class is unknown, no class is named and they have no order, or there are too few nuclei.
    """
    if benign is not None and benign not in classes:
        raise InputError(f"benign class {benign!r}: unknown; the classes are {', '.join(classes) or 'none'}")
    if benign is None and not (ordinal and classes):
        raise InputError(
            "benign reference: classes have no order; name the benign class or its diameter in µm"
        )
    name = classes[0] if benign is None else benign
    of_class = np.asarray(labels)[nuclei["tile"].to_numpy()] == list(classes).index(name)
    kept = of_class & ~nuclei["touches_border"].to_numpy(zero_copy_only=False)
    diameters, weights = (nuclei[name].to_numpy()[kept] for name in ("diameter_um", "edge_weight"))
    if len(diameters) < MIN_REFERENCE:
        raise InputError(
            f"benign reference: {len(diameters)} whole nuclei in tiles of class {name!r}; expected at least "
            f"{MIN_REFERENCE}: name another class or give the diameter in µm"
        )
    which = "the lowest class" if benign is None else "the class named"
    return BenignReference(
        diameter_um=_median(diameters, weights),
        rule=f"median of {len(diameters)} nuclei of {name} ({which})",
    )


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def size_grade(ratio: ArrayLike) -> NDArray[np.int64]:
    """Grade by mean nuclear diameter relative to benign: 1 below 1.5, 2 up to 2, 3 above, 0 for NaN.

    Source: the size criterion of nuclear pleomorphism in MITOS-ATYPIA-14.
    """
    values = np.asarray(ratio, np.float64)
    grade = 1 + (values >= 1.5).astype(np.int64) + (values > 2)
    return np.where(np.isnan(values), 0, grade)
