"""Drawn layouts against real masks, with the distance between patients as reference."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.data.phantom.tissue import CLASSES
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.layouts import MEASURES, compare_layouts, compare_masks
from nucleosynth.layouts import fit
from nucleosynth.layouts.atypia import Dial

pytestmark = pytest.mark.slow

JUDGED = ("area_um2", "eccentricity", "density_per_mm2", "neighbour_um")


@pytest.fixture(scope="module")
def fitted(layout_tiles):
    """Tiles, and a closer model of six of their patients than other tests need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_TRIAL", 100)
        patients = [f"phantom:p{i:02d}" for i in range(6)]
        return layout_tiles, fit.fit_layouts(layout_tiles, patients, rounds=5)


def test_every_class_lies_within_the_distance_between_patients(fitted):
    scores = compare_layouts(*fitted, repeats=2)
    assert list(scores) == ["all", *CLASSES]
    for name, measures in scores.items():
        assert set(measures) == set(MEASURES)
        for measure in JUDGED:
            score = measures[measure]
            if score["real_reference"] is None:  # a class of which hardly a patient has ten tiles
                assert (name, measure) == ("grade 3", "density_per_mm2")
            else:
                assert score["distance"] < score["real_reference"], (name, measure)


def test_a_turned_dial_leaves_it(fitted):
    scores = compare_layouts(*fitted, repeats=1, dial=Dial(size_ratio=1.6))
    assert scores["grade 1"]["area_um2"]["distance"] > 2 * scores["grade 1"]["area_um2"]["real_reference"]


def test_refusals(fitted):
    tiles, model = fitted
    with pytest.raises(InputError, match="expected those of the model"):
        compare_layouts(tiles, model.model_copy(update={"mpp": 0.25}))
    with pytest.raises(InputError, match="no tile of the model's patients"):
        compare_layouts(tiles, model.model_copy(update={"patients": ["phantom:p99"]}))


def test_masks_from_anywhere_are_scored_as_those_of_a_model(fitted):
    tiles, model = fitted
    rows = tiles.rows_of(model.patients)
    drawn = model.draw(len(rows), label=tiles.labels[rows].tolist(), seed=3)
    assert compare_masks(tiles, rows, drawn, labels=tiles.labels[rows]) == compare_layouts(
        tiles, model, repeats=1, seed=3
    )


def test_real_masks_have_no_distance_to_themselves(fitted):
    tiles, _ = fitted
    rows = np.arange(40)
    scores = compare_masks(tiles, rows, tiles.masks[rows], labels=tiles.labels[rows])
    assert {scores["all"][measure]["distance"] for measure in MEASURES} == {0.0}


def test_masks_that_cannot_be_compared(fitted):
    tiles, _ = fitted
    rows = np.arange(4)
    with pytest.raises(InputError, match=r"expected \(4, 64, 64\)"):
        compare_masks(tiles, rows, tiles.masks[rows][:, :32], labels=tiles.labels[rows])
    with pytest.raises(InputError, match="has a mask"):
        compare_masks(tiles, rows[:0], tiles.masks[rows], labels=tiles.labels[rows])
