"""Touching nuclei: counted by hand, separated where they may not touch, drawn as often as in training."""

from __future__ import annotations

import numpy as np
import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.data.tileset import TileSet
from nucleosynth.layouts import fit
from nucleosynth.layouts.touching import part, touching_share

THREE = np.array(
    [
        [1, 1, 2, 2, 0, 3],
        [1, 1, 2, 2, 0, 3],
        [1, 1, 0, 0, 0, 3],
    ],
    np.uint16,
)


def test_two_of_three_touch():
    assert touching_share(THREE[None]) == pytest.approx(2 / 3)
    assert touching_share(np.stack([THREE, np.zeros_like(THREE)])) == pytest.approx(2 / 3)
    assert touching_share(np.zeros((1, 4, 4), np.uint16)) == 0


def test_corners_do_not_count_as_touching():
    assert touching_share(np.array([[[1, 0], [0, 2]]], np.uint16)) == 0


def test_nuclei_that_may_touch_are_not_changed():
    assert np.array_equal(part(THREE, np.ones(4, bool)), THREE)


@pytest.mark.parametrize("may", [[True, False, True, True], [True, True, False, True], [False] * 4])
def test_nuclei_that_may_not_touch_are_separated_by_one_line(may):
    apart = part(THREE, np.array(may))
    assert touching_share(apart[None]) == 0
    lost = (THREE > 0) & (apart == 0)
    assert set(THREE[lost]) == {1}
    assert np.argwhere(lost).tolist() == [[0, 1], [1, 1]]


@pytest.mark.slow
def test_drawn_nuclei_touch_as_often_as_real_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fit, "_TRIAL", 40)
    tiles = phantom_tileset(tmp_path / "tiles", tiles=150, patients=4, size=64)
    apart = np.stack([part(mask, np.zeros(int(mask.max()) + 1, bool)) for mask in np.asarray(tiles.masks)])
    assert touching_share(apart) == 0

    class Apart(TileSet):  # the same tiles, with nuclei that never touch
        masks = apart

    patients = sorted(set(tiles.patients.tolist()))
    for real in (tiles, Apart(tiles.path, tiles.info)):
        model = fit.fit_layouts(real, patients, rounds=4)
        drawn = touching_share(model.draw(150, seed=1))
        assert drawn == pytest.approx(touching_share(np.asarray(real.masks)), abs=0.06)
