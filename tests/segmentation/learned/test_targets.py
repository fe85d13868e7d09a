"""Depth by hand, and nuclei that come back from perfect maps."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, scattered

from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.learned.network import RIM
from nucleosynth.segmentation.learned.targets import depth_maps
from nucleosynth.segmentation.learned.watershed import Cut, cut_nuclei


def test_depth_of_a_square_by_hand():
    labels = np.zeros((9, 9), int)
    labels[2:7, 2:7] = 5
    relative, depth = depth_maps(labels)
    assert depth[4].tolist() == [0, 0, 1, 2, 3, 2, 1, 0, 0]
    assert relative[4, 2:7] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert not relative[labels == 0].any()


def test_touching_nuclei_each_have_their_own_depth():
    labels = np.zeros((7, 14), int)
    labels[1:6, 2:7], labels[1:6, 7:12] = 1, 2
    _, depth = depth_maps(labels)
    assert depth[3].tolist() == [0, 0, 1, 2, 3, 2, 1, 1, 2, 3, 2, 1, 0, 0]


def test_the_border_of_the_picture_is_no_border_of_a_nucleus():
    labels = np.zeros((9, 9), int)
    labels[:, :4] = 1
    _, depth = depth_maps(labels)
    assert depth[0].tolist() == [4, 3, 2, 1, 0, 0, 0, 0, 0]


def test_empty_and_full():
    for labels in (np.zeros((8, 8), int), np.ones((8, 8), int)):
        relative, depth = depth_maps(labels)
        assert np.isfinite(relative).all()
        assert np.isfinite(depth).all()
        assert ((relative > 0) == (labels > 0)).all()


def perfect_maps(labels: np.ndarray, recipe: str) -> np.ndarray:
    relative, depth = depth_maps(labels)
    core = relative if recipe == "embedded" else depth > RIM
    return np.stack([labels > 0, core]).astype(np.float32) * 255


LAYOUTS = {
    "apart": disc_labels([(8, 8), (8, 23), (24, 9), (22, 24)], radius=3.5),
    "touching": disc_labels([(16, 12.6), (16, 19.4), (22, 16)], radius=3.6),
    "crowded": disc_labels(scattered(3, count=60, side=64), radius=3.5, size=128),
    "cut by the border": disc_labels([(0, 16), (32, 16), (16, 0), (16, 32)], radius=4),
    "larger than the tile": np.ones((32, 32), np.int32),
}


@pytest.mark.parametrize("recipe", ["embedded", "judge"])
@pytest.mark.parametrize("layout", ["apart", "touching", "cut by the border", "larger than the tile"])
def test_perfect_maps_give_the_nuclei_back(layout, recipe):
    labels = LAYOUTS[layout]
    found = cut_nuclei(perfect_maps(labels, recipe).astype(np.uint8), 0.5, cut=Cut())
    scores = mask_agreement(found[None], labels[None]) if labels.max() > 1 else {"f1": 1.0, "sq": 1.0}
    assert found.max() == labels.max()
    assert scores["f1"] == 1.0
    assert scores["sq"] > 0.9


def test_crowded_nuclei_come_back_almost_all():
    labels = LAYOUTS["crowded"]
    found = cut_nuclei(perfect_maps(labels, "embedded").astype(np.uint8), 0.5, cut=Cut())
    scores = mask_agreement(found[None], labels[None])
    assert scores["f1"] > 0.9


def test_lengths_are_in_um():
    labels = disc_labels([(16.0, 16.0)], radius=1.0)  # 3 µm² at 0.5 µm/px, 0.5 at 0.2
    maps = perfect_maps(labels, "embedded").astype(np.uint8)
    cut = Cut(least_area=2.0, least_seed=0.0)
    assert cut_nuclei(maps, 0.5, cut=cut).max() == 1
    assert cut_nuclei(maps, 0.2, cut=cut).max() == 0


def test_empty_maps_hold_nothing():
    assert not cut_nuclei(np.zeros((2, 16, 16), np.uint8), 0.5, cut=Cut()).any()


def test_labels_have_no_gaps():
    maps = np.random.default_rng(0).integers(0, 255, (2, 64, 64)).astype(np.uint8)
    found = cut_nuclei(maps, 0.5, cut=Cut(least_area=1.0, least_seed=0.5))
    assert np.unique(found).tolist() == list(range(found.max() + 1))
