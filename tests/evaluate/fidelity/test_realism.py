"""Typicality: solved by hand, agreed with scikit-learn, finite where tiles repeat."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity import realism as module
from nucleosynth.evaluate.fidelity.realism import typicality

ONE = np.zeros(1, np.int64)


def drawn(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


def test_by_hand_on_a_line():
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    none = np.zeros(4, np.int64)
    assert typicality(real, none, np.array([[9.0]]), ONE, neighbours=1).tolist() == [-2 / 4]
    assert typicality(real, none, np.array([[1.2]]), ONE, neighbours=2).tolist() == pytest.approx([-1.2 / 3])


def test_it_agrees_with_scikit_learn(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    real, other = drawn(0, 60), drawn(1, 25)
    search = NearestNeighbors().fit(real)
    distance, row = (found[:, 4] for found in search.kneighbors(other, 5))
    radius = search.kneighbors(real, 6)[0][:, 5]
    ours = typicality(real, np.zeros(60, np.int64), other, np.zeros(25, np.int64))
    np.testing.assert_allclose(ours, -distance / radius[row], rtol=1e-5)


def test_real_tiles_score_about_one_and_far_ones_less():
    real, other = drawn(0, 200), drawn(1, 100)
    none = np.zeros(100, np.int64)
    near = typicality(real, np.zeros(200, np.int64), other, none)
    far = typicality(real, np.zeros(200, np.int64), 3 * other, none)
    assert np.median(near) == pytest.approx(-1, abs=0.1)
    assert (far < near).mean() > 0.95


def test_each_is_compared_with_its_class_and_with_all_where_it_has_none():
    real, other = np.concatenate([drawn(0, 30), drawn(1, 30) + 9]), drawn(2, 10)
    labels = np.repeat([0, 1], 30)
    of = {label: typicality(real, labels, other, np.full(10, label)) for label in (-1, 0, 1)}
    assert np.array_equal(of[0], typicality(real[:30], labels[:30], other, np.zeros(10, np.int64)))
    assert (of[1] < of[0]).all()
    assert np.array_equal(of[-1], typicality(real, np.zeros(60, np.int64), other, np.zeros(10, np.int64)))


def test_tiles_that_repeat_or_stand_alone_give_finite_scores():
    blank = np.zeros((8, 6))
    scores = typicality(
        np.concatenate([blank, drawn(0, 20)]), np.zeros(28, np.int64), drawn(1, 9), np.zeros(9)
    )
    assert np.isfinite(scores).all()
    assert typicality(blank, np.zeros(8, np.int64), blank[:1], ONE).tolist() == [0]
    assert typicality(blank[:1], ONE, np.full((1, 6), 2.0), ONE).tolist() == pytest.approx([-(24**0.5)])


def test_no_real_tile_is_refused():
    with pytest.raises(InputError, match=r"features \(0, 6\) of real tiles"):
        typicality(drawn(0, 0), ONE[:0], drawn(1, 3), np.zeros(3, np.int64))
