"""Distances between two sets of features: KID with its interval over patients, CMMD, and FID."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.bootstrap import Counts, Interval, Statistic, cluster_bootstrap

Floats = NDArray[np.float64]

CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0


def kid(x: ArrayLike, y: ArrayLike) -> float:
    """Return the kernel distance: unbiased squared maximum mean discrepancy with the kernel (x.y/d + 1)^3.

    Parameters
    ----------
    x : (n, d) float
    y : (m, d) float

    Returns
    -------
    float
        Unbiased: its mean does not depend on n and m, and it may be slightly negative for equal sets.

    Raises
    ------
    InputError
        With fewer than two rows or different d.

    Notes
    -----
    Binkowski et al. 2018, over all pairs at once instead of random subsets.
    """
    a, b = checked(x, y)
    return _mean_of_others(_kernel(a, a)) + _mean_of_others(_kernel(b, b)) - 2 * float(_kernel(a, b).mean())


def kid_interval(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups_x: ArrayLike,
    groups_y: ArrayLike | None = None,
    n: int = 2000,
    seed: int = 0,
    minimum: int = 3,
) -> Interval:
    """Return KID with a percentile interval over patients.

    A resample that holds a patient twice would compare tiles with their own copies, and would treat a patient
    as two different ones: both bias the distance. So pairs within a patient drawn c times count c times, and
    pairs of two copies of one patient are left out; pairs of different patients i, j count c_i c_j times.
    Each kernel mean is a weighted mean over these pairs, from sums per pair of patients.

    Parameters
    ----------
    x, y : (n, d), (m, d) float
        Features of real and of synthetic tiles.
    groups_x : (n,) str
        Patient of each real tile.
    groups_y : (m,) str, optional
        Patient of each synthetic tile's donor, drawn together with the real tiles of the same patient. None
        keeps the synthetic tiles fixed.
    n, seed, minimum
        As in :func:`~nucleosynth.evaluate.statistics.bootstrap.cluster_bootstrap`.

    Returns
    -------
    Interval
        `estimate` equals :func:`kid`.

    Raises
    ------
    InputError
        As :func:`kid`.
    """
    a, b = checked(x, y)
    of_a = _group_array(groups_x, len(a))
    of_b = None if groups_y is None else _group_array(groups_y, len(b))
    patients = np.unique(of_a if of_b is None else np.concatenate([of_a, of_b]))
    in_a = (patients[:, None] == of_a).astype(np.float64)  # p n
    self_a = _block_mean(in_a @ _without_diagonal(_kernel(a, a)) @ in_a.T, _pairs(in_a))
    if of_b is None:
        constant = _mean_of_others(_kernel(b, b))
        cross_sums, sizes = in_a @ _kernel(a, b).mean(1), in_a.sum(1)

        def statistic(counts: Counts) -> Floats:
            return np.asarray(self_a(counts) + constant - 2 * (counts @ cross_sums) / (counts @ sizes))

    else:
        in_b = (patients[:, None] == of_b).astype(np.float64)  # p m
        self_b = _block_mean(in_b @ _without_diagonal(_kernel(b, b)) @ in_b.T, _pairs(in_b))
        cross = _block_mean(in_a @ _kernel(a, b) @ in_b.T, np.outer(in_a.sum(1), in_b.sum(1)))

        def statistic(counts: Counts) -> Floats:
            return np.asarray(self_a(counts) + self_b(counts) - 2 * cross(counts))

    return cluster_bootstrap(statistic, patients, n=n, seed=seed, minimum=minimum)


def cmmd(x: ArrayLike, y: ArrayLike) -> float:
    """Return CMMD, a distance of directions: unbiased MMD with exp(-|x-y|^2 / (2 * 10^2)), times 1000.

    Parameters
    ----------
    x : (n, d) float
    y : (m, d) float
        Features of any network; rows are scaled to length 1, a row of zeros stays.

    Returns
    -------
    float
        Unbiased, so it may be slightly negative for equal sets. Comparable with papers only in CLIP features.

    Raises
    ------
    InputError
        With fewer than two rows or different d.

    Notes
    -----
    Jayasumana et al. 2024, eq. 5. Their code also pairs each tile with itself, which adds 10 D / n, where D
    is the mean squared distance between tiles of a set.
    """
    a, b = (_directions(one) for one in checked(x, y))
    own = _mean_of_others(_gaussian(a, a)) + _mean_of_others(_gaussian(b, b))
    return CMMD_SCALE * (own - 2 * float(_gaussian(a, b).mean()))


def fid(x: ArrayLike, y: ArrayLike) -> float:
    """Return the Frechet distance between Gaussians fitted to two sets of features.

    The trace of the root of the covariances' product is the sum of the singular values of A B^T, where A and
    B are the centred features over sqrt(n - 1): no matrix root, no complex residue, and exact also for n < d.

    Parameters
    ----------
    x : (n, d) float
    y : (m, d) float

    Returns
    -------
    float
        At least 0. Biased upwards, more for smaller n and m: compare at equal n only.

    Raises
    ------
    InputError
        With fewer than two rows or different d.

    Notes
    -----
    Heusel et al. 2017; Dowson & Landau 1982.
    """
    a, b = checked(x, y)
    shift = a.mean(0) - b.mean(0)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    shared = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    distance = float(shift @ shift) + float((root_a**2).sum()) + float((root_b**2).sum()) - 2 * shared
    return max(distance, 0.0)


def _kernel(a: Floats, b: Floats) -> Floats:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _directions(features: Floats) -> Floats:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, 1))


def _gaussian(a: Floats, b: Floats) -> Floats:
    apart = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T)
    return np.asarray(np.exp(-apart / (2 * CMMD_SIGMA**2)))


def _without_diagonal(kernel: Floats) -> Floats:
    np.fill_diagonal(kernel, 0)
    return kernel


def _mean_of_others(kernel: Floats) -> float:
    n = len(kernel)
    return float(_without_diagonal(kernel).sum()) / (n * (n - 1))


def _pairs(members: Floats) -> Floats:
    """Count ordered pairs of different tiles, by patient of the first and of the second, (p, p)."""
    sizes = members.sum(1)
    return np.outer(sizes, sizes) - np.diag(sizes)


def _block_mean(sums: Floats, pairs: Floats) -> Statistic:
    """Return the kernel mean over drawn patients; two copies of one patient are not compared."""

    def weigh(blocks: Floats, counts: Counts) -> Floats:
        own = np.diagonal(blocks)
        return np.asarray(((counts @ blocks) * counts).sum(1) + (counts - counts**2) @ own)

    def mean(counts: Counts) -> Floats:
        number = weigh(pairs, counts)
        undefined = np.full(len(counts), np.nan)
        return np.asarray(np.divide(weigh(sums, counts), number, out=undefined, where=number > 0))

    return mean


def _covariance_root(features: Floats) -> Floats:
    """Return R with R^T R = the covariance; at most d rows."""
    centred: Floats = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _group_array(groups: ArrayLike, n: int) -> NDArray[np.str_]:
    patient = np.asarray(groups).astype(str)
    if patient.shape != (n,):
        raise InputError(f"groups has {patient.size} entries for {n} tiles; expected one patient per tile")
    return patient


def checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Return two sets of features as (n, d) and (m, d) float64.

    Raises
    ------
    InputError
        With fewer than two rows or different d.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(f"features {a.shape} and {b.shape}: expected (n, d) and (m, d) with n, m >= 2")
    return a, b
