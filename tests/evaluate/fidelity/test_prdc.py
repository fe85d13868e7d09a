"""Precision, recall, density and coverage: by hand, by loop, by other code, with real tiles as reference."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.evaluate.fidelity.prdc import (
    SCORES,
    neighbour_scores,
    prdc_with_reference,
    squared_distances,
)
from nucleosynth.evaluate.fidelity.score import patient_halves


def clouds(n: int, m: int, *, shift: float = 0.3, width: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(n + m)
    real, other = generator.normal(size=(n, 6)), width * generator.normal(size=(m, 6)) + shift
    return real.astype(np.float32), other.astype(np.float32)


def by_loop(real: np.ndarray, other: np.ndarray, k: int) -> dict[str, float]:
    """As the papers write it, one pair of tiles after the other."""

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(((a.astype(np.float64) - b) ** 2).sum()))

    def radius(i: int, among: np.ndarray) -> float:
        return sorted(apart(among[i], among[j]) for j in range(len(among)) if j != i)[k - 1]

    of_real = [radius(i, real) for i in range(len(real))]
    of_other = [radius(j, other) for j in range(len(other))]
    held = [[apart(x, y) <= r for x, r in zip(real, of_real, strict=True)] for y in other]
    return {
        "precision": sum(any(balls) for balls in held) / len(other),
        "recall": sum(any(apart(x, y) <= r for y, r in zip(other, of_other, strict=True)) for x in real)
        / len(real),
        "density": sum(sum(balls) for balls in held) / (k * len(other)),
        "coverage": sum(any(balls[i] for balls in held) for i in range(len(real))) / len(real),
    }


@pytest.mark.parametrize(("n", "m", "k"), [(30, 30, 5), (40, 12, 3), (9, 25, 1)])
def test_scores_equal_those_of_a_loop_over_pairs(n, m, k):
    real, other = clouds(n, m)
    found = neighbour_scores(real, other, neighbours=k)
    assert found == pytest.approx(by_loop(real, other, k), abs=1e-12)
    assert all(found[name] > 0 for name in SCORES)


def test_precision_and_recall_equal_those_of_torch_fidelity():
    metric = pytest.importorskip(
        "torch_fidelity.metric_prc", reason="install the extra inception to compare with torch-fidelity"
    )
    import torch

    real, other = clouds(150, 110)
    found = neighbour_scores(real, other, neighbours=3)
    theirs = metric.prc_features_to_metric(
        torch.from_numpy(other), torch.from_numpy(real),
        prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False, verbose=False,
    )  # fmt: skip
    assert {name: found[name] for name in ("precision", "recall")} == pytest.approx(
        {name: theirs[name] for name in ("precision", "recall")}, abs=1e-6
    )


def test_coverage_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])

    def coverage(other: list[list[float]], k: int = 1) -> float:
        return neighbour_scores(real, np.array(other), neighbours=k)["coverage"]

    assert coverage([[0.5]]) == 0.5  # of 0 and 1; 2 is 1.5 away from it
    assert coverage([[3.0]]) == 0.5  # of 2, and of 10: its nearest is 8 away
    assert coverage(real.tolist(), 5) == 1.0
    assert coverage([[100.0]], 5) == 0.0


def test_each_score_sees_what_it_is_for():
    real, _ = clouds(200, 1)
    one_kind = real[:1] + 0.01 * clouds(1, 200)[1]  # all of one kind, and true
    found = neighbour_scores(real, one_kind)
    assert found["precision"] == 1.0
    assert found["recall"] < 0.05
    assert found["coverage"] < 0.1
    noise = neighbour_scores(real, clouds(1, 200, width=5.0)[1])  # everything, and much that is not real
    assert noise["precision"] < 0.3
    assert noise["recall"] > 0.9


def test_a_copy_is_as_far_from_others_as_its_original():
    features = 1000 + np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    distances = squared_distances(np.concatenate([features, features]), block=7)
    assert (distances[:60, :60] == distances[60:, 60:]).all()
    assert (distances[:60, :60] == distances[:60, 60:]).all()
    assert (np.diag(distances[:60, 60:]) == 0).all()
    direct = ((features[:, None].astype(np.float64) - features) ** 2).sum(-1)
    assert distances[:60, :60] == pytest.approx(direct, rel=1e-5, abs=1e-6)
    alike = np.ones((12, 3), np.float32)  # blank tiles
    assert neighbour_scores(alike, alike)["coverage"] == 1.0


def drawn_patients(patients: int, tiles: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    own = generator.normal(size=(patients, 1, 4)).repeat(tiles, 1)
    features = own + generator.normal(size=(patients, tiles, 4))
    return features.reshape(-1, 4), np.repeat([f"p{i}" for i in range(patients)], tiles)


def test_other_patients_reach_what_real_is_and_a_few_tiles_over_and_over_do_not():
    real, groups = drawn_patients(12, 20, seed=0)
    halves = patient_halves(groups, count=10)
    others = prdc_with_reference(real, drawn_patients(12, 20, seed=1)[0], halves)
    assert others["n"] == min(len(rows) for division in halves for rows in division)
    for name in SCORES:
        assert others[name]["of_real"] == pytest.approx(1, abs=0.2), name
        assert others[name]["of_real"] == others[name]["synthetic"] / others[name]["real"]
    again = prdc_with_reference(real, np.tile(real[:6], (40, 1)), halves)
    assert again["coverage"]["real"] == others["coverage"]["real"]
    assert again["coverage"]["of_real"] < 0.5


def test_synthetic_and_real_tiles_are_equally_many():
    real, groups = drawn_patients(6, 20, seed=0)
    halves = patient_halves(groups, count=4)
    few, many = (prdc_with_reference(real, drawn_patients(6, m, seed=1)[0], halves) for m in (3, 60))
    assert (few["n"], many["n"]) == (18, 60)
    assert few["coverage"]["real"] < many["coverage"]["real"]


def test_without_halves_there_is_no_reference():
    real, other = clouds(40, 30)
    found = prdc_with_reference(real, other, [])
    assert (found["k"], found["n"]) == (5, 30)
    for name, value in neighbour_scores(real, other).items():
        assert found[name] == {"synthetic": value, "real": None, "of_real": None}
