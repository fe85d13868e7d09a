"""The bootstrap over patients: reproducible, clustered, paired, and modest with few patients."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm, t, ttest_1samp

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.bootstrap import (
    Counts,
    Statistic,
    cluster_bootstrap,
    draw_counts,
    paired_difference,
)
from nucleosynth.evaluate.statistics.verdict import verdict


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


def shifted(groups: np.ndarray, shifts: list[list[float]]) -> list[list[Statistic]]:
    return [[mean_of(np.full(len(groups), shift), groups) for shift in of_one] for of_one in shifts]


def test_a_flat_list_is_one_generator() -> None:
    values, groups = clustered()
    ours = [mean_of(values + 0.1 * s, groups) for s in range(3)]
    theirs = [mean_of(0.5 * values, groups) for _ in range(3)]
    flat = paired_difference(ours, theirs, groups=groups)
    assert flat == paired_difference([ours], [theirs], groups=groups)
    assert (flat.n_seeds, flat.n_generators) == (3, 1)


def test_generators_are_resampled_as_seeds_are() -> None:
    _, groups = clustered()
    shifts = [0.0, 0.3, 0.9]
    zero = shifted(groups, [[0.0, 0.0]])
    found = paired_difference(shifted(groups, [[s, s] for s in shifts]), zero, groups=groups, n=6000)
    assert found.estimate == pytest.approx(0.4)
    assert (found.n_seeds, found.n_generators) == (2, 3)
    assert found.lo == pytest.approx(0.0)  # all three draws the first generator: chance 1/27
    assert found.hi == pytest.approx(0.9)


def test_a_crossed_draw_keeps_rows_and_columns_together() -> None:
    _, groups = clustered()
    effects = np.add.outer([0.0, 0.4], [0.0, 0.2])  # of two generators and two seeds
    found = paired_difference(
        shifted(groups, effects.tolist()), shifted(groups, [[0.0, 0.2]]), groups=groups, n=4000
    )
    assert found.estimate == pytest.approx(0.2)
    # The seeds' effect is in both arms and goes; 0, 1 or 2 of two draws are the second generator.
    assert (found.lo, found.hi) == pytest.approx((0.0, 0.4))


def test_arms_of_as_many_generators_share_the_draw() -> None:
    _, groups = clustered()
    pools = [[0.0], [0.3], [0.9]]
    better = [[shift + 0.1] for (shift,) in pools]
    paired = paired_difference(shifted(groups, better), shifted(groups, pools), groups=groups)
    assert (paired.lo, paired.hi) == pytest.approx((0.1, 0.1))
    apart = paired_difference(shifted(groups, better[:2]), shifted(groups, pools), groups=groups)
    assert apart.hi - apart.lo > 0.5
    assert apart.n_generators == 3


def test_crossed_runs_of_few_patients_have_each_patient_alone() -> None:
    values, groups = clustered(patients=9)
    ours = [[mean_of(values + g + s, groups) for s in (0, 2)] for g in (0, 4)]
    found = paired_difference(ours, [mean_of(0 * values, groups)] * 2, groups=groups)
    assert (found.lo, found.p_value, found.n_generators) == (None, None, 2)
    assert found.per_patient["p004"] == pytest.approx(values[groups == "p004"].mean() + 3)


def test_p_value_by_hand() -> None:
    _, groups = clustered()
    zero = shifted(groups, [[0.0, 0.0]])
    above = paired_difference(shifted(groups, [[0.1, 0.2]]), zero, groups=groups, n=999)
    plain = 2 / 1000  # no resample on the other side: 2 (0 + 1) / (999 + 1)
    assert above.p_value == pytest.approx(2 * t.sf(np.sqrt(59 / 60) * norm.isf(plain / 2), 59))
    same = paired_difference(zero, zero, groups=groups, n=999)
    assert same.p_value == 1.0
    third = paired_difference(shifted(groups, [[-0.1], [0.2]]), zero, groups=groups, n=9999)
    assert third.p_value == pytest.approx(0.5, abs=0.02)  # the worse generator twice: 1/4
    assert cluster_bootstrap(mean_of(*clustered()), groups).p_value is None


@pytest.mark.parametrize("patients", [12, 60])
def test_a_mean_agrees_with_its_t_test_also_of_few_patients(patients: int) -> None:
    values, groups = clustered(seed=4, patients=patients)
    by_patient = values.reshape(patients, -1).mean(1)
    values = values - by_patient.mean() + 2 * by_patient.std() / np.sqrt(patients)  # two errors above zero
    found = paired_difference(
        [mean_of(values, groups)], [mean_of(0 * values, groups)], groups=groups, n=20000
    )
    test = ttest_1samp(values.reshape(patients, -1).mean(1), 0)
    assert found.p_value == pytest.approx(test.pvalue, abs=0.01)
    width = np.diff(test.confidence_interval(0.95))[0]
    assert found.hi - found.lo == pytest.approx(width, rel=0.06)
    assert (found.lo > 0) == (found.p_value < 0.05)


def test_folds_are_scored_together_over_the_patients_of_all() -> None:
    values, groups = clustered(patients=30)
    fold = np.unique(groups, return_inverse=True)[1] % 3
    gain = np.array([0.1, 0.2, 0.3])[fold]
    found = paired_difference([mean_of(values + gain, groups)], [mean_of(values, groups)], groups=groups)
    assert found.estimate == pytest.approx(0.2)
    assert found.n_patients == 30
    assert 0.1 < found.lo < 0.2 < found.hi < 0.3


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(InputError, match="no tiles"):
        cluster_bootstrap(mean_of(np.ones(1), np.array(["a"])), [])
    with pytest.raises(InputError, match="an arm has no seed"):
        paired_difference([], [], groups=["a"])
    run = mean_of(np.ones(1), np.array(["a"]))
    with pytest.raises(InputError, match="an arm has no seed"):
        paired_difference([[], []], [run], groups=["a"])
    with pytest.raises(InputError, match=r"\[2, 1\] runs of an arm's generators; expected the same"):
        paired_difference([[run, run], [run]], [run], groups=["a"])
    with pytest.raises(InputError, match="mixes runs and lists of runs"):
        paired_difference([run, [run]], [run], groups=["a"])
