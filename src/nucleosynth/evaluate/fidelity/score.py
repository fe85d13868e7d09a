"""Fidelity of synthetic tiles: distances to real tiles, coverage, and real-vs-real references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucleosynth.arguments import as_int
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.distances import cmmd, fid, kid, kid_interval
from nucleosynth.evaluate.fidelity.features import Extractor, as_extractor
from nucleosynth.evaluate.fidelity.fid_infinity import PARTS, fid_extrapolated
from nucleosynth.evaluate.fidelity.prdc import prdc_with_reference
from nucleosynth.evaluate.fidelity.real_reference import patient_halves, real_reference
from nucleosynth.evaluate.fidelity.tile_groups import Features, TileGroup, check_alike
from nucleosynth.evaluate.statistics.bootstrap import MINIMUM_PATIENTS

if TYPE_CHECKING:
    from nucleosynth.evaluate.fidelity.tile_groups import Tiles

__all__ = ["fid", "fidelity", "kid", "kid_interval", "patient_halves"]

FEW_TILES = 100
"""With fewer tiles the spread of KID is as large as the differences of interest."""


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
    """Return distances of synthetic tiles to real ones, with real-vs-real references.

    Parameters
    ----------
    real : TileSet, some of its tiles, TileGroup, images or (images, groups)
        Tiles of the training patients: (n, h, w, 3) uint8 and the patient of each, or None.
    synthetic : TileSet, some of its tiles, TileGroup, images or (images, groups)
        Synthetic tiles and the patient of each donor (None keeps them fixed in the bootstrap).
    held_out : TileSet, some of its tiles, TileGroup, images or (images, groups), optional
        Real tiles of held-out patients, for the *between* reference.
    extractor : str or Extractor
        Network whose features are compared, see
        :func:`~nucleosynth.evaluate.fidelity.features.get_extractor`.
    limit : int
        Largest number of tiles per set.
    halves : int
        The *within* reference and the scores of `neighbours` are means over this many random divisions of the
        patients, those of FID over the first three.
    resamples : int
        Bootstrap resamples over patients.
    seed : int
        Decides which tiles are drawn and how patients are divided and resampled.

    Returns
    -------
    dict
        - `kid`, `cmmd`, `fid`, `fid_extrapolated`: of `n` real and `n` synthetic tiles; the last is
          None unless n exceeds the number of features. `kid_interval`: [lo, hi] over `n_patients`, or None.
        - `real_reference`: distances among real tiles, `n` per group, fewer than above if a half of the
          patients or the held-out set has fewer: KID `within` two halves of the training patients,
          `within_range` [least, largest over the divisions], `between` held-out and training patients; the
          same for `cmmd`, `fid` and `fid_extrapolated`. None where it cannot be computed.
        - `at_reference_size`: `fid` and `fid_extrapolated` of synthetic tiles at the `n` of the references,
          since they depend on it, as KID and CMMD do not; None without references.
        - `neighbours`: precision, recall, density and coverage of halves of the training patients by
          synthetic tiles, by as many real ones, and their ratio, `of_real`
          (:func:`~nucleosynth.evaluate.fidelity.prdc.prdc_with_reference`).
        - `extractor`, `weights_hash`; `warnings`, lines.

    Raises
    ------
    InputError
        A set is empty, the sets differ in tile size or scale, or features are constant or not numbers.
    """
    network, seed = as_extractor(extractor), as_int(seed, "seed")
    limit, halves = as_int(limit, "limit", least=2), as_int(halves, "halves", least=1, most=10_000)
    resamples = as_int(resamples, "resamples", least=1, most=10_000_000)
    if real is None or synthetic is None:
        raise InputError(f"{'real' if real is None else 'synthetic'} is None; expected tiles to compare")
    given = {"real": real, "synthetic": synthetic, "held_out": held_out}
    groups = {name: TileGroup.of(tiles, name) for name, tiles in given.items() if tiles is not None}
    check_alike(groups.values())
    some = {
        name: group.some(limit * (1 + (name == "real")), seed=seed).features(network)
        for name, group in groups.items()
    }
    ours, made, unseen = some["real"], some["synthetic"], some.get("held_out")
    n = min(limit, len(ours), len(made))
    x, y = ours.some(n, seed=seed), made.some(n, seed=seed)
    divisions = patient_halves(ours.groups, count=halves, seed=seed)
    reference = real_reference(ours.x, None if unseen is None else unseen.x, divisions, n=n, seed=seed)
    n_patients = 0 if x.groups is None else len(set(x.groups.tolist()))
    return {
        "kid": kid(x.x, y.x),
        "kid_interval": _interval(x, y, resamples, seed),
        "cmmd": cmmd(x.x, y.x),
        "fid": fid(x.x, y.x),
        "fid_extrapolated": fid_extrapolated(x.x, y.x),
        "real_reference": reference,
        "at_reference_size": _at_reference_size(ours, made, reference["n"], seed),
        "neighbours": prdc_with_reference(ours.x, made.x, divisions, seed=seed),
        "n": n,
        "n_patients": n_patients,
        "extractor": network.name,
        "weights_hash": network.weights_hash,
        "warnings": _warnings(n, reference["n"], n_patients, dimensions=x.x.shape[1]),
    }


def _interval(x: Features, y: Features, resamples: int, seed: int) -> list[float] | None:
    if x.groups is None:
        return None
    found = kid_interval(x.x, y.x, groups_x=x.groups, groups_y=y.groups, n=resamples, seed=seed)
    return None if found.lo is None or found.hi is None else [found.lo, found.hi]


def _at_reference_size(real: Features, made: Features, n: int | None, seed: int) -> dict[str, Any] | None:
    if n is None:
        return None
    x, y = real.some(n, seed=seed).x, made.some(n, seed=seed).x
    return {"n": n, "fid": fid(x, y), "fid_extrapolated": fid_extrapolated(x, y)}


def _warnings(n: int, n_reference: int | None, n_patients: int, *, dimensions: int) -> list[str]:
    found = []
    if n < FEW_TILES:
        found.append(f"KID from {n} tiles per group is uncertain; expected at least {FEW_TILES}")
    if n_reference is not None and n_reference < FEW_TILES:
        found.append(
            f"the references from {n_reference} tiles per group are uncertain; expected at least {FEW_TILES}"
        )
    if n <= dimensions:
        found.append(
            f"FID from {n} tiles in {dimensions} dimensions is biased upwards; do not report it alone"
        )
        found.append(f"FID is not extrapolated from {n} tiles; expected more than {dimensions}")
    elif n < PARTS * dimensions:
        found.append(
            f"FID extrapolated from {n} tiles in {dimensions} dimensions keeps some of its bias; "
            f"expected at least {PARTS * dimensions}"
        )
    if n_patients < MINIMUM_PATIENTS:
        found.append(f"{n_patients} patients: the interval is rough below {MINIMUM_PATIENTS}, absent below 3")
    return found
