"""Simulated studies with a known difference: how often the intervals of crossed runs hold it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from nucleosynth.evaluate.classification.metrics import metric_statistic
from nucleosynth.evaluate.statistics.bootstrap import Counts, Statistic, paired_difference
from nucleosynth.evaluate.statistics.verdict import verdict
from nucleosynth.study.analysis.comparisons import FEWEST_OF_CLASS

PATIENTS, TILES, SEEDS = 40, 6, 5
TRUTH = 0.1
PATIENT_EFFECT = 0.3  # of an arm on a patient, standard deviation
STANDARD_ERROR = PATIENT_EFFECT * np.sqrt(2 / PATIENTS)  # of a difference, from patients alone
REPEATS = 300


def mean_over_tiles(values: np.ndarray, patient: np.ndarray) -> Statistic:
    total, size = np.bincount(patient, weights=values), np.bincount(patient)

    def statistic(counts: Counts) -> np.ndarray:
        return (counts @ total) / (counts @ size)

    return statistic


def study(
    number: int, *, generators: int, spread: float
) -> tuple[list[list[Statistic]], list[Statistic], np.ndarray]:
    """Treatment [generator][seed], control [seed] and patients; the first is better by TRUTH on average.

    A generator moves all of its runs by `spread` standard errors; runs of one seed share what its weights do.
    """
    draw = np.random.default_rng(number).normal
    sizes = np.random.default_rng(number).integers(TILES // 2, TILES * 3 // 2 + 1, size=PATIENTS)
    patient = np.repeat(np.arange(PATIENTS), sizes)
    tissue = draw(size=PATIENTS)[patient] + draw(size=len(patient))
    of_generator = spread * STANDARD_ERROR * draw(size=generators)
    of_seed = 0.02 * draw(size=SEEDS)

    def run(mean: float, of_arm: np.ndarray, of_pool: np.ndarray, seed: int) -> Statistic:
        moved = mean + of_seed[seed] + 0.02 * draw() + (of_arm + of_pool)[patient]
        return mean_over_tiles(tissue + moved + 0.3 * draw(size=len(patient)), patient)

    ours, theirs = (PATIENT_EFFECT * draw(size=PATIENTS) for _ in range(2))
    pools = [0.1 * draw(size=PATIENTS) for _ in range(generators)]
    treatment = [
        [run(TRUTH + shift, ours, pool, seed) for seed in range(SEEDS)]
        for shift, pool in zip(of_generator, pools, strict=True)
    ]
    control = [run(0, theirs, np.zeros(PATIENTS), seed) for seed in range(SEEDS)]
    return treatment, control, patient


def coverage(*, generators: int, spread: float, repeats: int = REPEATS) -> float:
    hits = 0
    for number in range(repeats):
        treatment, control, patient = study(number, generators=generators, spread=spread)
        found = paired_difference(treatment, control, groups=patient, n=500, seed=number)
        hits += found.lo <= TRUTH <= found.hi
    return hits / repeats


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0, 1])
def test_five_generators_and_five_seeds_cover_the_truth(spread: float) -> None:
    least, most = binom.interval(0.99, REPEATS, 0.95)
    assert least <= REPEATS * coverage(generators=5, spread=spread) <= most


def covered(patients: int, *, repeats: int = 600) -> float:
    """How often the interval of a difference of means over so many patients holds it, one run per arm."""
    patient, hits = np.repeat(np.arange(patients), 6), 0
    for number in range(repeats):
        draw = np.random.default_rng(number).normal
        tissue = draw(size=patients)[patient]
        ours, theirs = (
            tissue + 0.3 * draw(size=patients)[patient] + 0.3 * draw(size=len(patient)) for _ in range(2)
        )
        arms = [[mean_over_tiles(values, patient)] for values in (ours + TRUTH, theirs)]
        found = paired_difference(*arms, groups=patient, n=500, seed=number)
        hits += found.lo <= TRUTH <= found.hi
    return hits / repeats


@pytest.mark.slow
@pytest.mark.parametrize("patients", [10, 15, 20])
def test_few_patients_are_covered_as_many_are(patients: int) -> None:
    least, most = binom.interval(0.99, 600, 0.95)
    assert least <= 600 * covered(patients) <= most


def covered_with_class_of(holders: int, *, patients: int = 12, repeats: int = 400) -> float:
    """How often a difference of two equal classifiers is covered where so many patients hold a class."""
    patient, hits = np.repeat(np.arange(patients), 10), 0
    for number in range(repeats):
        draw = np.random.default_rng(number)
        labels = (draw.random(len(patient)) < 0.5) * (patient < holders)
        tissue = 0.7 * draw.normal(size=patients)[patient] + draw.normal(size=len(patient))
        arms = []
        for _ in range(2):
            opinion = 0.7 * draw.normal(size=patients)[patient] + 0.3 * draw.normal(size=len(patient))
            positive = 1 / (1 + np.exp(-(0.8 * (2 * labels - 1) + tissue + opinion)))
            p = np.stack([1 - positive, positive], axis=1)
            arms.append([metric_statistic("balanced_accuracy", p, labels, groups=patient)])
        found = paired_difference(*arms, groups=patient, n=500, seed=number)
        hits += found.lo <= 0 <= found.hi
    return hits / repeats


@pytest.mark.slow
def test_a_class_of_few_patients_is_covered_from_five_on() -> None:
    assert covered_with_class_of(FEWEST_OF_CLASS) > 0.9
    assert covered_with_class_of(2) < 0.88, "or fewer than five would do"


@pytest.mark.slow
def test_one_generator_knows_nothing_of_how_generators_vary() -> None:
    assert coverage(generators=1, spread=2) < 0.75
    assert coverage(generators=3, spread=2) > 0.85


def equal_classifiers(
    number: int, *, of_arm: float, of_run: float
) -> tuple[list[list[Statistic]], list[Statistic], np.ndarray]:
    """Both arms of classifiers of the same skill, as [generator][seed] and [seed], and patients.

    Standard deviations of a tile's logit: `of_arm` what all runs of an arm think of it, `of_run` each alone.
    """
    draw = np.random.default_rng(number)
    patient = np.repeat(np.arange(PATIENTS), 8)
    labels = (draw.random(len(patient)) < 0.5).astype(int)
    tissue = 0.7 * draw.normal(size=PATIENTS)[patient] + draw.normal(size=len(patient))
    ours, theirs = (of_arm * draw.normal(size=len(patient)) for _ in range(2))

    def run(skill: float, opinion: np.ndarray) -> Statistic:
        logit = skill * (2 * labels - 1) + tissue + opinion + of_run * draw.normal(size=len(patient))
        positive = 1 / (1 + np.exp(-logit))
        p = np.stack([1 - positive, positive], axis=1)
        return metric_statistic("balanced_accuracy", p, labels, groups=patient)

    treatment = [[run(skill, ours) for _ in range(SEEDS)] for skill in 0.8 + 0.03 * draw.normal(size=5)]
    return treatment, [run(skill, theirs) for skill in 0.8 + 0.03 * draw.normal(size=SEEDS)], patient


def verdicts(*, of_arm: float, of_run: float, repeats: int = REPEATS) -> Counter[str]:
    said: Counter[str] = Counter()
    for number in range(repeats):
        treatment, control, patient = equal_classifiers(number, of_arm=of_arm, of_run=of_run)
        found = paired_difference(treatment, control, groups=patient, n=500, seed=number)
        word = verdict(found.lo, found.hi, "balanced_accuracy").partition(":")[0]
        if found.p_value < 0.04:  # the p-value and the interval tell one story
            assert word in {"helps", "harms"}
        said[word] += 1
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("of_arm", "of_run"), [(0.7, 0.1), (0.0, 0.7)])
def test_equal_classifiers_are_seldom_said_to_help(of_arm: float, of_run: float) -> None:
    said = verdicts(of_arm=of_arm, of_run=of_run)
    assert said["helps"] <= 0.05 * REPEATS
    assert said["harms"] <= 0.05 * REPEATS
    assert said["no difference shown"] >= 0.9 * REPEATS


@pytest.mark.slow
def test_disagreement_among_runs_of_an_arm_makes_intervals_too_wide() -> None:
    found = [
        paired_difference(treatment, control, groups=patient, n=500, seed=number)
        for number in range(REPEATS)
        for treatment, control, patient in [equal_classifiers(number, of_arm=0.0, of_run=0.7)]
    ]
    needed = 2 * 1.96 * np.std([one.estimate for one in found])
    assert 1.3 < np.mean([one.hi - one.lo for one in found]) / needed < 1.8
