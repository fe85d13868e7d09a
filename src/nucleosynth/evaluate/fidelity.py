"""How close synthetic tiles are to real ones: KID between its floors, coverage beside real, and FID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.distances import fid, kid, kid_interval
from nucleosynth.evaluate.features import Extractor, get_extractor
from nucleosynth.evaluate.neighbours import neighbours_beside_real
from nucleosynth.evaluate.uncertainty import MINIMUM_PATIENTS
from nucleosynth.seeds import rng, some_rows

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet

    Tiles = TileSet | tuple[NDArray[np.uint8], Sequence[str] | NDArray[np.str_] | None]

Division = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of two halves of the patients."""

__all__ = ["fid", "fidelity", "kid", "kid_interval", "patient_halves"]

ROWS = "fidelity-rows"
FEW_TILES = 100
"""Below it KID's own spread is as large as what one wants to see."""


def fidelity(
    real: Tiles,
    synthetic: Tiles,
    *,
    held_out: Tiles | None = None,
    extractor: str | Extractor = "lite0",
    limit: int = 2000,
    halves: int = 10,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Distance of synthetic tiles to real ones, beside what real tiles reach among themselves.

    Parameters
    ----------
    real : TileSet or (images, groups)
        Tiles of the training patients: (n, h, w, 3) uint8 and the patient of each, or None.
    synthetic : TileSet or (images, groups)
        Synthetic tiles and the patient of each donor (None keeps them fixed in the bootstrap).
    held_out : TileSet or (images, groups), optional
        Real tiles of patients that training never saw, for the *between* floor.
    extractor : str or Extractor
        Whose features are compared.
    limit : int
        At most so many tiles per set.
    halves : int
        The *within* floor and the scores of `neighbours` are means over so many random divisions of the
        patients.
    resamples : int
        Bootstrap resamples over patients.
    seed : int
        Decides which tiles are taken and how patients are divided and drawn.

    Returns
    -------
    dict
        `kid` and `fid` of `n` real tiles against `n` synthetic ones; `kid_interval` [lo, hi] or None;
        `n_patients`; `floor`, KID among real tiles, `n` on each side (fewer than above where a half of the
        patients or the held-out set holds fewer; KID's mean does not depend on it): `within` two halves of
        the training patients, `within_range` [least, largest over the divisions], `between` held-out and
        training patients, each None where it cannot be had; `neighbours`, precision, recall, density and
        coverage of halves of the training patients by synthetic tiles, by as many real ones, and as a share
        of that, `of_real` (:func:`~nucleosynth.evaluate.neighbours.neighbours_beside_real`); `extractor`;
        `weights_hash`; `warnings`, lines.

    Raises
    ------
    InputError
        When a set is empty, or the sets differ in tile size or scale.
    """
    network = get_extractor(extractor) if isinstance(extractor, str) else extractor
    sets = {"real": _Set.of(real, "real"), "synthetic": _Set.of(synthetic, "synthetic")}
    if held_out is not None:
        sets["held_out"] = _Set.of(held_out, "held_out")
    _check_alike(list(sets.values()))
    some = {
        name: one.some(limit * (1 + (name == "real")), seed=seed).features(network)
        for name, one in sets.items()
    }
    n = min(limit, len(some["real"]), len(some["synthetic"]))
    x, y = some["real"].some(n, seed=seed), some["synthetic"].some(n, seed=seed)
    divisions = patient_halves(some["real"].groups, count=halves, seed=seed)
    floor = _floor(some["real"], some.get("held_out"), divisions, n=n, seed=seed)
    interval = None
    if x.groups is not None:
        found = kid_interval(x.x, y.x, groups_x=x.groups, groups_y=y.groups, n=resamples, seed=seed)
        interval = None if found.lo is None else [found.lo, found.hi]
    n_patients = 0 if x.groups is None else len(np.unique(x.groups))
    return {
        "kid": kid(x.x, y.x),
        "kid_interval": interval,
        "fid": fid(x.x, y.x),
        "floor": floor,
        "neighbours": neighbours_beside_real(some["real"].x, some["synthetic"].x, divisions, seed=seed),
        "n": n,
        "n_patients": n_patients,
        "extractor": network.name,
        "weights_hash": network.weights_hash,
        "warnings": _warnings(n, floor["n"], n_patients, dimensions=x.x.shape[1]),
    }


def _floor(
    real: _Set, held_out: _Set | None, divisions: Sequence[Division], *, n: int, seed: int
) -> dict[str, Any]:
    sizes = [len(part) for division in divisions for part in division]
    n = min([n, *sizes] if held_out is None else [n, len(held_out), *sizes])
    within = [kid(*(_draw(real.x[part], n, seed=seed) for part in division)) for division in divisions]
    between = None if held_out is None else kid(_draw(held_out.x, n, seed=seed), _draw(real.x, n, seed=seed))
    return {
        "within": float(np.mean(within)) if within else None,
        "within_range": [min(within), max(within)] if within else None,
        "between": between,
        "n": n if within or held_out is not None else None,
    }


def patient_halves(groups: NDArray[np.str_] | None, *, count: int, seed: int = 0) -> list[Division]:
    """Divide patients at random into two halves of nearly as many tiles, several times.

    Parameters
    ----------
    groups : (n,) str or None
        Patient of each tile.
    count : int
        Divisions; fewer where there are not so many different ones.

    Returns
    -------
    list of (rows, rows)
        Rows of the two halves, both with two tiles at least; empty with fewer than two patients.
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


@dataclass(frozen=True, slots=True)
class _Set:
    """Images, later features, with the patient of each."""

    x: NDArray[Any]
    groups: NDArray[np.str_] | None
    mpp: float | None = None

    @classmethod
    def of(cls, tiles: Tiles, name: str) -> _Set:
        if isinstance(tiles, tuple):
            images, groups = tiles
            patients, mpp = None if groups is None else np.asarray(groups).astype(str), None
        else:
            known = bool((tiles.patients != "").all())  # of a synthetic tile the donor's
            images, patients, mpp = tiles.images, tiles.patients if known else None, tiles.mpp
        if len(images) < 2:
            raise InputError(f"fidelity: {name} holds {len(images)} tiles; expected at least 2")
        if patients is not None and patients.shape != (len(images),):
            raise InputError(
                f"fidelity: {name} has {len(images)} tiles and {patients.size} patients; expected one each"
            )
        return cls(images, patients, mpp)

    def __len__(self) -> int:
        return len(self.x)

    def some(self, n: int, *, seed: int) -> _Set:
        rows = some_rows(seed, ROWS, len(self), n)
        return _Set(self.x[rows], None if self.groups is None else self.groups[rows], self.mpp)

    def features(self, network: Extractor) -> _Set:
        return _Set(network(self.x), self.groups, self.mpp)


def _draw(features: NDArray[np.float32], n: int, *, seed: int) -> NDArray[np.float32]:
    return features[some_rows(seed, ROWS, len(features), n)]


def _check_alike(sets: Sequence[_Set]) -> None:
    sizes = sorted({one.x.shape[1:3] for one in sets})
    if len(sizes) > 1:
        raise InputError(
            f"fidelity: tiles of {sizes[0]} and {sizes[1]} px; expected one size, import them alike"
        )
    scales = sorted({one.mpp for one in sets if one.mpp is not None})
    if len(scales) > 1:
        raise InputError(
            f"fidelity: tiles at {scales[0]} and {scales[1]} µm/px; expected one scale, import them alike"
        )


def _warnings(n: int, n_floor: int | None, n_patients: int, *, dimensions: int) -> list[str]:
    found = []
    if n < FEW_TILES:
        found.append(f"KID from {n} tiles a side is unsteady; expected at least {FEW_TILES}")
    if n_floor is not None and n_floor < FEW_TILES:
        found.append(f"the floors from {n_floor} tiles a side are unsteady; expected at least {FEW_TILES}")
    if n <= dimensions:
        found.append(
            f"FID from {n} tiles in {dimensions} dimensions is biased upwards; do not quote it alone"
        )
    if n_patients < MINIMUM_PATIENTS:
        found.append(f"{n_patients} patients: the interval is rough below {MINIMUM_PATIENTS}, absent below 3")
    return found
