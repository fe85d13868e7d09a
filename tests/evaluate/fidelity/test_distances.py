"""KID and FID against other implementations, and KID's interval over patients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.distances import cmmd, fid, kid, kid_interval
from nucleosynth.evaluate.statistics.bootstrap import draw_counts


def features(n: int, d: int = 16, *, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(n, d))


def grouped(patients: int, tiles: int, *, seed: int = 0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    own = np.random.default_rng(seed).normal(shift, 0.7, size=(patients, 16)).repeat(tiles, 0)
    groups = np.repeat([f"{seed}-{i:02d}" for i in range(patients)], tiles)
    return own + features(patients * tiles, seed=seed + 100), groups


class Flat(torch.nn.Module):
    """Pixels as features, as torchmetrics wants them."""

    num_features = 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).double() / 64


def test_kid_by_hand() -> None:
    x, y = np.array([[1.0], [0.0]]), np.array([[2.0], [-1.0]])
    # pairs: x 1*0 -> 1; y 2*-1 -> (-1)^3; cross (2+1)^3, (-1+1)^3, 1, 1
    assert kid(x, y) == pytest.approx(1 + -1 - 2 * (27 + 0 + 1 + 1) / 4)


@pytest.mark.slow  # to import
def test_kid_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    generator = torch.Generator().manual_seed(0)
    real = torch.randint(0, 200, (40, 3, 2, 2), dtype=torch.uint8, generator=generator)
    fake = torch.randint(0, 255, (40, 3, 2, 2), dtype=torch.uint8, generator=generator)
    metric = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=40)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    expected, _ = metric.compute()
    assert kid(Flat()(real).numpy(), Flat()(fake).numpy()) == pytest.approx(float(expected), rel=1e-5)


def test_kid_is_unbiased() -> None:
    values = [kid(features(20, seed=i), features(20, seed=1000 + i)) for i in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)


@pytest.mark.parametrize("n", [10, 60])
def test_fid_agrees_with_the_matrix_root(n: int) -> None:
    x, y = features(n), 1.5 * features(n + 7, seed=1, shift=0.3)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(np.trace(sqrtm(cov_x @ cov_y)))
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * root
    assert fid(x, y) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow  # to import
def test_fid_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    generator = torch.Generator().manual_seed(0)
    real = torch.randint(0, 200, (60, 3, 2, 2), dtype=torch.uint8, generator=generator)
    fake = torch.randint(0, 255, (50, 3, 2, 2), dtype=torch.uint8, generator=generator)
    metric = FrechetInceptionDistance(feature=Flat())
    metric.set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert fid(Flat()(real), Flat()(fake)) == pytest.approx(float(metric.compute()), rel=1e-4)


def test_fid_of_gaussians_by_formula() -> None:
    x = features(20000, 3)
    assert fid(x, 2 * x + 1) == pytest.approx(
        3 * (1 + 1), rel=0.05
    )  # shift 1 and deviation 2 - 1, three times
    assert fid(x, x) == pytest.approx(0, abs=1e-9)


def test_cmmd_by_hand() -> None:
    x, y = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([[-1.0, 0.0], [0.0, 5.0]])
    # directions: x east, north; y west, north. Squared distances: x 2, y 2; across 4, 2, 2, 0
    near, right, opposite = 1.0, np.exp(-2 / 200), np.exp(-4 / 200)
    assert cmmd(x, y) == pytest.approx(1000 * (2 * right - (opposite + 2 * right + near) / 2))


def test_cmmd_by_the_formula_of_its_authors() -> None:
    """They also count each tile with itself."""
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (features(30), features(20, seed=1)))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a[:, None] - b) ** 2).sum(-1) / 200).mean())

    own = [(n * mean(one, one) - 1) / (n - 1) for one, n in ((x, 30), (y, 20))]
    assert cmmd(x, y) == pytest.approx(1000 * (sum(own) - 2 * mean(x, y)))
    apart = np.mean(
        [((one[:, None] - one) ** 2).sum(-1).sum() / (n * (n - 1)) for one, n in ((x, 30), (y, 20))]
    )
    added = 1000 * (mean(x, x) + mean(y, y) - sum(own))
    assert added == pytest.approx(10 * apart * (1 / 30 + 1 / 20) / 2, rel=0.02)


def test_cmmd_sees_directions_alone_and_is_unbiased() -> None:
    x, y = features(40), features(40, seed=1, shift=0.4)
    assert cmmd(x, 7 * y) == pytest.approx(cmmd(x, y))
    assert cmmd(x, y) > 5 * abs(cmmd(x, features(40, seed=2)))
    values = [cmmd(features(20, seed=i), features(20, seed=1000 + i)) for i in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert np.isfinite(cmmd(np.zeros((3, 4)), np.ones((3, 4))))


def test_kid_of_two_halves_of_one_set_covers_zero() -> None:
    covers = 0
    for seed in range(60):
        both, patients = grouped(120, 1, seed=seed)
        x, y, half = both[:60], both[60:], patients[:60]
        found = kid_interval(x, y, groups_x=half, groups_y=patients[60:], n=500)
        covers += found.lo <= 0 <= found.hi
    assert covers >= 57  # of 60, at 95 %


@pytest.mark.parametrize("donors", [False, True])
def test_estimate_of_the_interval_is_kid(donors: bool) -> None:
    (x, groups), (y, _) = grouped(12, 7), grouped(12, 7, seed=1)
    found = kid_interval(x, y, groups_x=groups, groups_y=groups if donors else None, n=200)
    assert found.estimate == pytest.approx(kid(x, y))
    assert found.lo < found.estimate < found.hi
    assert found.n_patients == 12


def test_resampled_value_equals_the_sum_over_allowed_pairs() -> None:
    (x, groups), (y, _) = grouped(4, 3), grouped(4, 3, seed=1)
    count = draw_counts(4, n=1, seed=11)[0].astype(int)
    assert count.max() > 1
    rows = [(copy, i) for i in range(12) for copy in range(count[i // 3])]

    def mean(a: np.ndarray, b: np.ndarray, *, same: bool) -> float:
        values = [
            (a[i] @ b[j] / 16 + 1) ** 3
            for copy, i in rows
            for other, j in rows
            if (i // 3 != j // 3 or copy == other) and not (same and i == j)
        ]
        return float(np.mean(values))

    expected = mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)
    found = kid_interval(x, y, groups_x=groups, groups_y=groups, n=1, seed=11)
    assert found.lo == pytest.approx(expected)


def test_resampling_patients_does_not_shift_kid() -> None:
    (x, groups), (y, _) = grouped(25, 6), grouped(25, 6, seed=1, shift=0.2)
    found = kid_interval(x, y, groups_x=groups, groups_y=groups, n=4000)
    width = found.hi - found.lo
    assert (found.lo + found.hi) / 2 == pytest.approx(found.estimate, abs=0.15 * width)


def test_few_patients_have_no_interval() -> None:
    (x, groups), (y, _) = grouped(2, 5), grouped(2, 5, seed=1)
    assert kid_interval(x, y, groups_x=groups).lo is None


def test_bad_features_are_refused() -> None:
    with pytest.raises(InputError, match="n, m >= 2"):
        kid(features(1), features(5))
    with pytest.raises(InputError, match=r"\(5, 16\) and \(5, 8\)"):
        fid(features(5), features(5, 8))
    with pytest.raises(InputError, match="groups has 2 entries for 5 tiles"):
        kid_interval(features(5), features(5), groups_x=["a", "b"])
