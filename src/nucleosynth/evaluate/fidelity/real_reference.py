"""Real-vs-real references: distances between halves of the training patients, and to held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.evaluate.fidelity.distances import cmmd, fid, kid
from nucleosynth.evaluate.fidelity.fid_infinity import fid_extrapolated
from nucleosynth.evaluate.fidelity.tile_groups import ROWS
from nucleosynth.seeds import rng, some_rows

Division = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of two halves of the patients."""

Floats = NDArray[np.float32]
Pair = tuple[Floats, Floats]
Distance = Callable[[Floats, Floats], float | None]
FID_HALVES = 3
"""FID of 2000 tiles takes seconds, so its references are means over only this many divisions."""


def real_reference(
    real: Floats,
    held_out: Floats | None,
    divisions: Sequence[Division],
    *,
    n: int,
    seed: int,
) -> dict[str, Any]:
    """Return distances among real tiles, between groups of equally many tiles.

    Parameters
    ----------
    real : (r, d) float
        Features of tiles of the training patients.
    held_out : (h, d) float, optional
        Features of tiles of held-out patients.
    divisions : sequence of (rows, rows)
        By :func:`patient_halves`.
    n : int
        Largest number of tiles per tile group.
    seed : int
        Decides which tiles are drawn.

    Returns
    -------
    dict
        KID `within` halves of the patients (mean), `within_range` [least, largest], `between` held-out and
        real; `n`; `cmmd`, `fid` and `fid_extrapolated`, each {`within`, `between`}. None where it cannot be
        computed. FID depends on n: compare it only at this n.
    """
    sizes = [len(part) for division in divisions for part in division]
    n = min([n, *sizes] if held_out is None else [n, len(held_out), *sizes])

    def draw(features: Floats) -> Floats:
        return features[some_rows(seed, ROWS, len(features), n)]

    halves = [(draw(real[one]), draw(real[other])) for one, other in divisions]
    unseen = [] if held_out is None else [(draw(held_out), draw(real))]
    within = [kid(*pair) for pair in halves]
    return {
        "within": float(np.mean(within)) if within else None,
        "within_range": [min(within), max(within)] if within else None,
        "between": _mean(kid, unseen),
        "n": n if halves or unseen else None,
        "cmmd": _either(cmmd, halves, unseen),
        "fid": _either(fid, halves[:FID_HALVES], unseen),
        "fid_extrapolated": _either(fid_extrapolated, halves[:FID_HALVES], unseen),
    }


def patient_halves(groups: NDArray[np.str_] | None, *, count: int, seed: int = 0) -> list[Division]:
    """Divide patients at random into two halves of nearly as many tiles, several times.

    Parameters
    ----------
    groups : (n,) str or None
        Patient of each tile.
    count : int
        Number of divisions; fewer if there are not that many different ones.

    Returns
    -------
    list of (rows, rows)
        Rows of the two halves, each with at least two tiles; empty with fewer than two patients.
    """
    if groups is None or len(np.unique(groups)) < 2:
        return []
    patients, patient = np.unique(groups, return_inverse=True)
    sizes = np.bincount(patient)
    found: dict[frozenset[int], Division] = {}
    for attempt in range(4 * count):
        order = rng(seed, "patient-halves", attempt).permutation(len(patients))
        filled = sizes[order].cumsum()[:-1]
        cut = 1 + int(np.abs(filled - len(patient) / 2).argmin())
        first = np.isin(patient, order[:cut])
        key = frozenset(order[:cut].tolist() if 0 in order[:cut] else order[cut:].tolist())
        if key not in found and 2 <= first.sum() <= len(patient) - 2:
            found[key] = (np.flatnonzero(first), np.flatnonzero(~first))
        if len(found) == count:
            break
    return list(found.values())


def _either(distance: Distance, within: Sequence[Pair], between: Sequence[Pair]) -> dict[str, float | None]:
    return {"within": _mean(distance, within), "between": _mean(distance, between)}


def _mean(distance: Distance, pairs: Sequence[Pair]) -> float | None:
    values = [value for pair in pairs if (value := distance(*pair)) is not None]
    return float(np.mean(values)) if values else None
