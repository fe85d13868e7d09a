"""Drawing layouts: what they depend on, what the dial does, and what bad input prints."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.layouts.regions import random_regions
from nucleosynth.nuclei.morphology import nuclei_table, tile_table


def means(masks):
    """Mean of each measure of a tile over the tiles, at 0.75 µm/px."""
    rows = tile_table(nuclei_table(None, masks, mpp=0.75))
    names = ("diameter_um", "irregularity", "anisonucleosis", "density_per_mm2")
    with warnings.catch_warnings(action="ignore"):  # no nuclei at all have no mean
        return {name: float(np.nanmean(rows[name].to_numpy())) for name in names}


def test_save_load_same_layouts(layout_model, tmp_path):
    layout_model.save(tmp_path / "layouts.json")
    loaded = LayoutModel.load(tmp_path / "layouts.json")
    assert loaded == layout_model
    assert loaded.layouts_id == layout_model.layouts_id
    assert np.array_equal(loaded.draw(4, label=1, seed=3), layout_model.draw(4, label=1, seed=3))


def test_a_layout_depends_on_its_index_and_not_on_the_others(layout_model):
    whole = layout_model.draw(5, label=[0, 1, 2, None, 1], seed=4)
    assert whole.dtype == np.uint16
    assert whole.shape == (5, 64, 64)
    assert np.array_equal(layout_model.draw(label=[1, None], indices=[4, 3], seed=4), whole[[4, 3]])
    assert not np.array_equal(layout_model.draw(5, label=[0, 1, 2, None, 1], seed=5), whole)


def test_instances_are_numbered_without_a_gap(layout_model):
    for mask in layout_model.draw(20, seed=1):
        assert np.array_equal(np.unique(mask[mask > 0]), np.arange(1, mask.max() + 1))


@pytest.mark.slow
def test_any_size_and_scale(layout_model):
    wide = layout_model.draw(3, label=0, size=(40, 100), seed=2)
    assert wide.shape == (3, 40, 100)
    fine = layout_model.draw(40, label=0, size=128, mpp=0.375, seed=2)
    coarse = layout_model.draw(40, label=0, seed=2)
    areas = [
        nuclei_table(None, m, mpp=mpp)["area_um2"].to_numpy() for m, mpp in ((fine, 0.375), (coarse, 0.75))
    ]
    assert np.median(areas[0]) == pytest.approx(np.median(areas[1]), rel=0.05)
    assert abs(len(areas[0]) / len(areas[1]) - 1) < 0.05


@pytest.mark.slow
def test_grades_differ_as_their_real_nuclei_do(layout_model):
    size = [means(layout_model.draw(40, label=grade, seed=1))["diameter_um"] for grade in range(3)]
    assert size[0] < 0.85 * size[1] < 0.85 * 0.85 * size[2] * 1.2


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.7, 1.5])
def test_dial_size_ratio_is_that_of_mean_diameters(layout_model, ratio):
    dial = Dial(size_ratio=ratio, density=0.3)
    drawn = means(layout_model.draw(30, label=0, dial=dial, size=160, seed=1))
    usual = means(layout_model.draw(30, label=0, dial=Dial(density=0.3), size=160, seed=1))
    assert drawn["diameter_um"] / usual["diameter_um"] == pytest.approx(ratio, rel=0.04)


@pytest.mark.slow
def test_dial_anisonucleosis_is_that_of_the_spread_within_a_tile(layout_model):
    spread = [
        means(layout_model.draw(30, label=0, dial=Dial(anisonucleosis=a, density=0.6), size=160, seed=1))
        for a in (0.0, 1.0, 2.0)
    ]
    assert spread[0]["anisonucleosis"] < 0.3 * spread[1]["anisonucleosis"]
    assert spread[2]["anisonucleosis"] / spread[1]["anisonucleosis"] == pytest.approx(2, rel=0.12)
    assert spread[2]["diameter_um"] == pytest.approx(spread[1]["diameter_um"], rel=0.05)


@pytest.mark.slow
def test_dial_irregularity_bends_contours_and_leaves_sizes(layout_model):
    bent = [
        means(layout_model.draw(25, label=1, dial=Dial(irregularity=a), size=128, seed=1)) for a in (0, 1, 2)
    ]
    assert bent[0]["irregularity"] < 0.6 * bent[1]["irregularity"]
    assert bent[2]["irregularity"] > 1.4 * bent[1]["irregularity"]
    assert bent[2]["diameter_um"] == pytest.approx(bent[0]["diameter_um"], rel=0.08)


@pytest.mark.slow
def test_dial_density_is_that_of_nuclei_per_area(layout_model):
    usual, half, none = (
        means(layout_model.draw(40, label=0, dial=Dial(density=d), size=128, seed=1))["density_per_mm2"]
        for d in (1, 0.5, 0)
    )
    assert half / usual == pytest.approx(0.5, rel=0.08)
    assert none == 0


@pytest.mark.parametrize("lumen", [0.0, 0.5])
def test_nuclei_fill_their_region_and_nothing_else(layout_model, lumen):
    regions = random_regions(12, size=128, mpp=0.5, cover=0.5, lumen=lumen, seed=1)
    assert regions.mean() == pytest.approx(0.5 * (1 - lumen), abs=0.01)
    masks = layout_model.draw(12, label=0, size=128, regions=regions, seed=2)
    assert not masks[~regions].any()
    everywhere = layout_model.draw(12, label=0, size=128, seed=2)
    assert (masks > 0)[regions].mean() > 0.5 * (everywhere > 0).mean()
    assert np.array_equal(random_regions(3, size=128, mpp=0.5, cover=0.5, lumen=lumen, seed=1), regions[:3])


def test_a_region_for_all_is_broadcast_and_an_empty_one_stays_empty(layout_model):
    left = np.zeros((64, 64), bool)
    assert not layout_model.draw(3, label=0, regions=left).any()
    left[:, :32] = True
    masks = layout_model.draw(6, label=0, regions=left)
    assert masks[:, :, :32].any()
    assert not masks[:, :, 32:].any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": 3}, "label 3 is outside the classes \\(grade 1"),
        ({"label": [0]}, "labels: 1 for 2 tiles; give one each"),
        ({"size": 4}, "size is \\(4, 4\\) px; choose 8 to 4096"),
        ({"mpp": 0.0}, "mpp is 0.0; expected the tiles' scale in µm/px"),
        ({"label": "grade 4"}, "unknown class 'grade 4'; did you mean grade"),
        ({"dial": {"size_ratio": -1}}, "dial: `size_ratio`"),
        ({"regions": np.ones((3, 64, 64), bool)}, "regions are bool \\(3, 64, 64\\); expected bool"),
        ({"regions": np.ones((64, 64))}, "regions are float64"),
    ],
)
def test_bad_requests_are_one_line(layout_model, arguments, words):
    with pytest.raises(InputError, match=words):
        layout_model.draw(2, **arguments)


def test_a_class_by_name_and_a_dial_by_its_values(layout_model):
    named = layout_model.draw(label=["grade 2", "grade 1"], dial={"size_ratio": 1.2})
    np.testing.assert_array_equal(named, layout_model.draw(2, label=[1, 0], dial=Dial(size_ratio=1.2)))


def test_bad_dial():
    with pytest.raises(InputError, match="Dial: `size_ratio`: input should be"):
        Dial(size_ratio=-1)


def test_bad_regions():
    with pytest.raises(InputError, match="lumen 2"):
        random_regions(1, size=64, mpp=0.5, lumen=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(kind="split"), "not a layout model"),
        (lambda d: d.update(schema=2), "schema"),
        (lambda d: d.update(mpp=0), "mpp"),
        (lambda d: d["class_statistics"].pop(), "one entry per class"),
        (lambda d: d["class_statistics"][0]["nuclei"][0].pop(), "each of `nuclei` needs"),
        (lambda d: d["class_statistics"][1].update(nuclei=[]), "empty"),
        (lambda d: d["class_statistics"][1].pop("spacing"), "spacing"),
    ],
)
def test_damaged_files_name_what_is_wrong(layout_model, tmp_path, change, words):
    layout_model.save(tmp_path / "m.json")
    data = json.loads((tmp_path / "m.json").read_text())
    change(data)
    (tmp_path / "m.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=words):
        LayoutModel.load(tmp_path / "m.json")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        LayoutModel.load(tmp_path / "none.json")
