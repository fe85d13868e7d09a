"""The bootstrap over patients: reproducible, clustered, paired, and modest with few patients."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import statsmodels.api as sm

from nucleosynth.errors import InputError
from nucleosynth.evaluate.uncertainty import (
    Counts,
    Statistic,
    cluster_bootstrap,
    draw_counts,
    paired_difference,
    verdict,
)


def mean_of(values: np.ndarray, groups: np.ndarray) -> Statistic:
    _, patient = np.unique(groups, return_inverse=True)
    total, size = np.bincount(patient, weights=values), np.bincount(patient)

    def statistic(counts: Counts) -> np.ndarray:
        return (counts @ total) / (counts @ size)

    return statistic


def clustered(seed: int = 0, patients: int = 60, tiles: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    groups = np.repeat([f"p{i:03d}" for i in range(patients)], tiles)
    own = generator.normal(size=patients).repeat(tiles)
    return own + 0.3 * generator.normal(size=patients * tiles), groups


def test_every_resample_draws_as_many_patients_as_there_are() -> None:
    counts = draw_counts(7, n=500, seed=3)
    assert counts.shape == (500, 7)
    assert (counts.sum(1) == 7).all()
    assert abs(counts.mean() - 1) < 1e-12
    assert abs(counts.var() - (1 - 1 / 7)) < 0.05  # binomial(7, 1/7)


def test_width_agrees_with_the_cluster_robust_error_of_statsmodels() -> None:
    values, groups = clustered()
    robust = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.unique(groups, return_inverse=True)[1]}
    )
    found = cluster_bootstrap(mean_of(values, groups), groups, n=4000, seed=1)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.hi - found.lo) / (2 * 1.96) == pytest.approx(robust.bse[0], rel=0.06)


def test_tiles_of_one_patient_are_not_independent() -> None:
    values, groups = clustered()
    by_patient = cluster_bootstrap(mean_of(values, groups), groups, seed=0)
    tiles = np.arange(len(values)).astype(str)
    by_tile = cluster_bootstrap(mean_of(values, tiles), tiles, seed=0)
    assert by_patient.hi - by_patient.lo > 2 * (by_tile.hi - by_tile.lo)


def test_same_seed_same_interval() -> None:
    values, groups = clustered()
    first, again = (cluster_bootstrap(mean_of(values, groups), groups, seed=5) for _ in range(2))
    assert first == again
    assert first != cluster_bootstrap(mean_of(values, groups), groups, seed=6)


def test_pairing_removes_what_the_arms_share() -> None:
    values, groups = clustered()
    treatment, control = [mean_of(values + 0.1, groups)] * 2, [mean_of(values, groups)] * 2
    found = paired_difference(treatment, control, groups=groups)
    assert (found.lo, found.hi) == pytest.approx((0.1, 0.1))
    assert found.estimate == pytest.approx(0.1)
    assert (found.n_patients, found.n_seeds) == (60, 2)


def test_seeds_are_resampled_too() -> None:
    values, groups = clustered()
    constant = [mean_of(np.full(len(values), shift), groups) for shift in (0.0, 0.1, 0.2)]
    zero = [mean_of(np.zeros(len(values)), groups)] * 3
    found = paired_difference(constant, zero, groups=groups)
    assert found.estimate == pytest.approx(0.1)
    assert found.lo == pytest.approx(0.0, abs=0.04)  # one seed drawn three times: chance 1/27
    assert found.hi == pytest.approx(0.2, abs=0.04)
    single = paired_difference(constant[1:2], zero, groups=groups)  # unequal numbers of seeds are allowed
    assert (single.lo, single.hi, single.n_seeds) == (pytest.approx(0.1), pytest.approx(0.1), 1)


def test_below_ten_patients_there_is_no_interval_but_each_patient() -> None:
    values, groups = clustered(patients=9)
    found = paired_difference([mean_of(values, groups)], [mean_of(0 * values, groups)], groups=groups)
    assert (found.lo, found.hi) == (None, None)
    assert list(found.per_patient) == sorted(set(groups))
    assert found.per_patient["p004"] == pytest.approx(values[groups == "p004"].mean())
    assert verdict(found.lo, found.hi, "auroc") == "too few patients for an interval claim"
    ten = cluster_bootstrap(mean_of(*clustered(patients=10)), clustered(patients=10)[1])
    assert ten.lo is not None
    assert ten.per_patient == {}


def test_undefined_resamples_are_left_out_and_counted() -> None:
    _, groups = clustered(patients=12)

    def first_patient_only(counts: Counts) -> np.ndarray:
        return np.where(counts[:, 0] > 0, counts[:, 0], np.nan)

    found = cluster_bootstrap(first_patient_only, groups)
    assert found.undefined == pytest.approx((11 / 12) ** 12, abs=0.04)
    assert found.lo == 1.0
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_coverage_is_near_the_level() -> None:
    hits = 0
    for trial in range(200):
        values, groups = clustered(seed=trial, patients=40, tiles=4)
        found = cluster_bootstrap(mean_of(values, groups), groups, n=400, seed=trial)
        hits += found.lo <= 0 <= found.hi
    assert 0.88 <= hits / 200 <= 0.98


@pytest.mark.parametrize(
    ("lo", "hi", "metric", "says"),
    [
        (0.01, 0.05, "auroc", "helps"),
        (-0.05, -0.01, "auroc", "harms"),
        (0.01, 0.05, "kid", "harms"),
        (-0.05, -0.01, "fid", "helps"),
        (-0.02, 0.04, "kappa", "no difference shown: the interval from -0.02 to +0.04 includes zero"),
        (-0.0004, 0.04, "kappa", "no difference shown: the interval from -0.0004 to +0.04 includes zero"),
        (0.0, 0.04, "kappa", "no difference shown: the interval from 0 to +0.04 includes zero"),
        (None, None, "auroc", "too few patients for an interval claim"),
    ],
)
def test_verdict(lo: float | None, hi: float | None, metric: str, says: str) -> None:
    assert verdict(lo, hi, metric) == says


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(InputError, match="no tiles"):
        cluster_bootstrap(mean_of(np.ones(1), np.array(["a"])), [])
    with pytest.raises(InputError, match="an arm has no seed"):
        paired_difference([], [], groups=["a"])
