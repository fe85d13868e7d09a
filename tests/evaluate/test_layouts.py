"""Drawn layouts against real masks, beside the distance between patients."""

from __future__ import annotations

import pytest

from nucleosynth.data.phantom import CLASSES
from nucleosynth.errors import InputError
from nucleosynth.evaluate.layouts import MEASURES, compare_layouts
from nucleosynth.layouts.dial import Dial

JUDGED = ("area_um2", "eccentricity", "density_per_mm2", "neighbour_um")


@pytest.fixture
def fitted(layout_tiles, layout_model):
    return layout_tiles, layout_model


def test_every_class_lies_within_the_distance_between_patients(fitted):
    scores = compare_layouts(*fitted, repeats=2)
    assert list(scores) == ["all", *CLASSES]
    for name, measures in scores.items():
        assert set(measures) == set(MEASURES)
        for measure in JUDGED:
            score = measures[measure]
            if score["floor"] is None:  # a class of which hardly a patient has ten tiles
                assert (name, measure) == ("grade 3", "density_per_mm2")
            else:
                assert score["distance"] < score["floor"], (name, measure)


def test_a_turned_dial_leaves_it(fitted):
    scores = compare_layouts(*fitted, repeats=1, dial=Dial(size_ratio=1.6))
    assert scores["grade 1"]["area_um2"]["distance"] > 2 * scores["grade 1"]["area_um2"]["floor"]


def test_refusals(fitted):
    tiles, model = fitted
    with pytest.raises(InputError, match="expected those of the model"):
        compare_layouts(tiles, model.model_copy(update={"mpp": 0.25}))
    with pytest.raises(InputError, match="no tile of the model's patients"):
        compare_layouts(tiles, model.model_copy(update={"patients": ["phantom:p99"]}))
