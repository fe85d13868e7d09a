"""FID extrapolated to infinitely many tiles: its remaining bias, and where it cannot be computed."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.distances import fid
from nucleosynth.evaluate.fidelity.fid_infinity import fid_extrapolated


def gaussian(n: int, *, seed: int, d: int = 24, shift: float = 0.0, decay: float = 0.0) -> np.ndarray:
    spectrum = np.arange(1, d + 1) ** (-decay / 2)
    return np.random.default_rng(seed).normal(size=(n, d)) * spectrum + shift


@pytest.mark.parametrize("decay", [0.0, 1.5])
@pytest.mark.parametrize("n", [30, 72, 200])
def test_halves_of_one_set_come_nearer_to_zero(n: int, decay: float) -> None:
    for seed in range(8):
        both = gaussian(2 * n, seed=seed, decay=decay)
        plain, extrapolated = fid(both[:n], both[n:]), fid_extrapolated(both[:n], both[n:])
        assert extrapolated is not None
        assert abs(extrapolated) < plain


def test_distance_of_two_gaussians_is_found_where_plain_fid_is_far_above() -> None:
    shift = 0.3
    true = 24 * shift**2
    pairs = [(gaussian(96, seed=i), gaussian(96, seed=100 + i, shift=shift)) for i in range(20)]
    plain = np.mean([fid(x, y) for x, y in pairs])
    extrapolated = [fid_extrapolated(x, y) for x, y in pairs]
    assert plain > 2 * true
    assert np.mean(extrapolated) == pytest.approx(
        true, abs=3 * np.std(extrapolated) / np.sqrt(20) + 0.02 * 24
    )


def test_what_is_left_of_the_bias_is_as_documented() -> None:
    for times, before, after in ((1, 0.53, 0.26), (2, 0.26, 0.02), (3, 0.18, 0.0)):
        n = 96 * times + (times == 1)
        pairs = [(gaussian(n, seed=i, d=96), gaussian(n, seed=50 + i, d=96)) for i in range(6)]
        assert np.mean([fid(x, y) for x, y in pairs]) / 96 == pytest.approx(before, abs=0.01)
        assert np.mean([fid_extrapolated(x, y) for x, y in pairs]) / 96 == pytest.approx(after, abs=0.02)


def test_it_is_a_line_through_the_means_of_parts() -> None:
    x, y = gaussian(4, seed=0, d=1), gaussian(4, seed=1, d=1)
    both = [fid_extrapolated(x, y, parts=2, seed=seed) for seed in (0, 0, 1)]
    assert both[0] == both[1] != both[2]
    halves = [
        np.mean([fid(x[a], y[b]), fid(np.delete(x, a, 0), np.delete(y, b, 0))])
        for a in ([0, 1], [0, 2], [0, 3])
        for b in ([0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3])
    ]
    assert np.abs(2 * fid(x, y) - np.array(halves) - both[0]).min() < 1e-9


def test_too_few_tiles_give_none() -> None:
    assert fid_extrapolated(gaussian(24, seed=0), gaussian(200, seed=1)) is None
    assert fid_extrapolated(gaussian(25, seed=0), gaussian(25, seed=1)) is not None
    assert fid_extrapolated(gaussian(5, seed=0, d=2), gaussian(9, seed=1, d=2)) is None  # parts of one tile
    with pytest.raises(InputError, match="n, m >= 2"):
        fid_extrapolated(gaussian(1, seed=0), gaussian(25, seed=1))
