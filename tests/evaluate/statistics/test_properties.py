"""Laws of intervals over patients and of comparisons that are read together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleosynth.evaluate.statistics.bootstrap import cluster_bootstrap, draw_counts, paired_difference
from nucleosynth.evaluate.statistics.verdict import holm, verdict

P_VALUES = st.dictionaries(st.text(max_size=4), st.none() | st.floats(0, 1), max_size=8)
VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=25)
SEEDS = st.integers(0, 2**16)


def mean_of(values: np.ndarray):
    """Return the mean over patients, each value a patient's, as a statistic of draw counts."""
    return lambda counts: counts @ values / counts.sum(axis=1)


def names(values: list[float]) -> list[str]:
    return [f"p{index:02d}" for index in range(len(values))]


@settings(max_examples=15)  # statsmodels collects garbage at every call
@given(P_VALUES)
def test_adjusted_p_values_are_none_below_their_own_and_keep_their_order(p_values):
    found = holm(p_values)
    assert list(found) == list(p_values)
    known = [name for name, p in p_values.items() if p is not None]
    assert [name for name, p in found.items() if p is not None] == known
    for name in known:
        own = p_values[name]
        assert own <= found[name] <= min(1, len(known) * own)
    by_own = sorted(known, key=lambda name: p_values[name])
    adjusted = [found[name] for name in by_own]
    assert adjusted == sorted(adjusted)
    assert not known or adjusted[0] == min(1, len(known) * p_values[by_own[0]])


@settings(max_examples=15)
@given(P_VALUES, st.floats(0, 1))
def test_one_comparison_more_makes_no_other_more_certain(p_values, another):
    alone, together = holm(p_values), holm({**p_values, "another": another})
    for name, p in alone.items():
        if p is not None and name != "another":
            assert together[name] >= p


@given(st.integers(1, 30), st.integers(1, 40), SEEDS)
def test_each_resample_draws_as_many_as_there_are(size, count, seed):
    drawn = draw_counts(size, n=count, seed=seed)
    assert drawn.shape == (count, size)
    assert (drawn.sum(axis=1) == size).all()
    assert ((drawn >= 0) & (drawn == np.round(drawn))).all()
    assert np.array_equal(drawn, draw_counts(size, n=count, seed=seed))


@given(VALUES, SEEDS)
def test_an_interval_of_a_mean_holds_no_value_outside_the_patients(values, seed):
    array = np.array(values)
    found = cluster_bootstrap(mean_of(array), names(values), n=200, seed=seed, minimum=2)
    assert found.n_patients == len(values)
    assert found.estimate == pytest.approx(array.mean(), abs=1e-9)
    if len(values) < 2:
        assert found.lo is None and found.per_patient == {"p00": pytest.approx(values[0])}
    else:
        assert array.min() - 1e-9 <= found.lo <= found.hi <= array.max() + 1e-9


@given(VALUES, st.floats(-3, 3), st.floats(0.1, 3), SEEDS)
def test_an_interval_moves_and_stretches_with_its_values(values, shift, factor, seed):
    array = np.array(values)
    plain, moved = (
        cluster_bootstrap(mean_of(x), names(values), n=200, seed=seed, minimum=1)
        for x in (array, factor * array + shift)
    )
    for bound in ("lo", "hi"):
        assert getattr(moved, bound) == pytest.approx(factor * getattr(plain, bound) + shift, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=20), SEEDS)
def test_a_difference_turned_round_is_its_mirror(pairs, seed):
    one, other = np.array(pairs).T
    groups = names(pairs)
    there = paired_difference([mean_of(one)], [mean_of(other)], groups=groups, n=200, seed=seed, minimum=2)
    back = paired_difference([mean_of(other)], [mean_of(one)], groups=groups, n=200, seed=seed, minimum=2)
    assert there.estimate == pytest.approx(-back.estimate, abs=1e-9)
    assert (there.lo, there.hi) == (pytest.approx(-back.hi, abs=1e-9), pytest.approx(-back.lo, abs=1e-9))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), SEEDS)
def test_an_arm_differs_in_nothing_from_itself(values, seed):
    arm = [mean_of(np.array(values))]
    found = paired_difference(arm, arm, groups=names(values), n=200, seed=seed, minimum=2)
    assert (found.estimate, found.lo, found.hi) == (0, 0, 0)
    assert found.p_value == pytest.approx(1)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_what_helps_one_way_harms_the_other(low, high):
    lo, hi = sorted((low, high))
    said, turned = verdict(lo, hi, "auroc"), verdict(-hi, -lo, "auroc")
    assert (said == "helps") == (lo > 0)
    assert {"helps": "harms", "harms": "helps"}.get(said, "no") == (
        turned if said in ("helps", "harms") else "no"
    )
    assert verdict(lo, hi, "kid") == verdict(-hi, -lo, "auroc") or said.startswith("no difference")
