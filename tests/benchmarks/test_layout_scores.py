"""Overlap and faults of masks by hand."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.layout_scores import LayoutEvaluator, best_overlap, census, spread, turned

CORNER = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]])


def test_a_copy_is_found_in_every_position():
    positions = np.stack([position[0] for position in turned(CORNER[None])])
    assert best_overlap(positions, CORNER[None]).tolist() == [1.0] * 8


def test_overlap_by_hand():
    other = CORNER.copy()
    other[3, 3], other[1, 1] = 0, 7  # three of four and one more: 3 of 5
    found = best_overlap(CORNER[None], np.stack([other, np.zeros_like(other)]))
    assert found == pytest.approx([3 / 5])
    assert best_overlap(np.zeros((1, 4, 4), int), CORNER[None]).tolist() == [0.0]


def test_pairs_apart_do_not_count():
    masks = np.stack([CORNER, np.zeros_like(CORNER)])
    assert best_overlap(masks, masks, apart=np.eye(2, dtype=bool)).tolist() == [0.0, 0.0]


def test_census_by_hand():
    touching = np.array([[1, 2, 0, 0], [0, 0, 0, 0], [3, 0, 0, 3], [0, 4, 0, 0]])  # 3 is torn, 4 is diagonal
    found = census(np.stack([touching, np.zeros_like(touching)]))
    assert found == {
        "tiles": 2,
        "empty": 0.5,
        "covered": pytest.approx(5 / 32),
        "nuclei_per_tile": 2.0,
        "touching": 0.5,
        "torn": 0.25,
    }


def test_nothing_has_no_spread():
    assert spread(np.zeros(0)) == {"n": 0, "median": None, "p95": None, "p99": None, "max": None}


@pytest.mark.slow
def test_training_masks_are_scored_as_copies_at_no_distance(layout_tiles):
    evaluator = LayoutEvaluator(layout_tiles, ["phantom:p00", "phantom:p01"], ["phantom:p02"])
    found = evaluator.scores(evaluator.real, layout_tiles.labels[evaluator.rows].tolist(), seed=0)
    assert found["copies"]["median"] == 1.0
    assert found["copies"]["above_p99_of_train_to_other_tiles"] == 1.0
    assert found["distances"]["all"]["area_um2"]["distance"] == 0.0
    assert found["kid"]["kid"] < found["kid"]["real_reference"]["between"]
    references = evaluator.references()
    assert references["census"]["train"] == found["census"]
    assert all(reference["max"] < 1 for reference in references["copies"].values())
