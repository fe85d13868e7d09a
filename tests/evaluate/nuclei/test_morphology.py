"""Real and synthetic nuclei compared: distances by hand, reference, classes, files, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.morphology import (
    MEASURES,
    Sample,
    compare_morphology,
    distance_scores,
    patient_distances,
    write_comparison,
)


def drawn(path, *, seed: int, mpp: float | None = 0.5, classes=CLASSES, ordinal=True, **changes) -> TileSet:
    config = PhantomConfig(tiles=60, patients=4, seed=seed)
    tiles = phantom_tiles(config, size=64, mpp=mpp or 0.5)
    changed = (replace(tile, mpp=mpp, **changes) for tile in tiles)
    return write_tileset(path, changed, classes=classes, ordinal=ordinal)


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[TileSet, TileSet]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("pair")
        patch.setenv("NUCLEOSYNTH_CACHE", str(folder / "cache"))
        found = drawn(folder / "real", seed=1), drawn(folder / "synthetic", seed=2)
        for tiles in found:
            assert tiles.images is not None  # mapped now, while the cache is this one
            assert tiles.masks is not None
        return found


def sample(values, patients) -> Sample:
    return Sample(
        values=np.asarray(values, float),
        label=np.zeros(len(values), np.int64),
        patient=np.asarray(patients, dtype=np.str_),
    )


def test_distance_and_reference_by_hand() -> None:
    real = sample([1.0] * 20 + [3.0] * 20 + [2.0] * 5, ["a"] * 20 + ["b"] * 20 + ["c"] * 5)
    found = distance_scores(real, sample(real.values + 0.5, real.patient))
    assert found["distance"] == pytest.approx(0.5)
    assert found["distance_sd"] == pytest.approx(0.5 / np.std(real.values))
    # a against b and c: (2 * 20 + 1 * 5) / 25; b likewise; c has too few values of its own
    assert patient_distances(real) == pytest.approx({"a": 1.8, "b": 1.8})
    assert (found["real_reference"], found["reference_patients"]) == (pytest.approx(1.8), 2)
    assert (found["n_real"], found["median_synthetic"]) == (45, pytest.approx(2.5))


def test_nothing_to_compare_is_none() -> None:
    none, one = sample([], []), sample([1.0] * 30, ["a"] * 30)
    assert distance_scores(none, one)["distance"] is None
    assert distance_scores(one, none)["distance"] is None
    alone = distance_scores(one, one)
    assert (alone["distance"], alone["distance_sd"], alone["real_reference"]) == (0.0, None, None)
    assert patient_distances(sample([1.0] * 30, [""] * 30)) == {}


def test_a_set_is_at_no_distance_from_itself(pair) -> None:
    scores = compare_morphology(pair[0], pair[0]).scores
    assert list(scores["measures"]) == ["all", *CLASSES]
    for of_class in scores["measures"].values():
        assert set(of_class) == set(MEASURES)
        assert all(found["distance"] == 0 for found in of_class.values())
    assert scores["real"] == scores["synthetic"]
    json.dumps(scores, allow_nan=False)


def test_classes_part_the_nuclei_and_tissue_of_another_seed_is_as_near_as_patients(pair) -> None:
    found = compare_morphology(*pair)
    every, *classes = found.scores["measures"].values()
    for measure in MEASURES:
        assert sum(of_class[measure]["n_real"] for of_class in classes) == every[measure]["n_real"]
    assert every["area_um2"]["distance"] < 2 * every["area_um2"]["real_reference"]
    low, _, high = classes
    assert low["diameter_um"]["median_real"] < high["diameter_um"]["median_real"]
    assert sum(found.scores["real"]["size_grades"].values()) == pytest.approx(1)


def test_larger_nuclei_are_seen(pair, tmp_path) -> None:
    high = (tile for tile in pair[0].tiles() if tile.label == 2)
    large = write_tileset(tmp_path / "large", high, classes=CLASSES, ordinal=True)
    same = compare_morphology(*pair).scores["measures"]["all"]["diameter_um"]
    other = compare_morphology(pair[0], large).scores["measures"]["all"]["diameter_um"]
    assert other["distance"] > 3 * same["distance"]
    assert other["distance"] > other["real_reference"]


def test_a_segmenter_finds_the_nuclei_of_both(pair) -> None:
    found = compare_morphology(*pair, found_by="classical").scores
    carried = compare_morphology(*pair).scores
    assert found["masks"] == "found by classical"
    assert found["real"]["nuclei"] != carried["real"]["nuclei"]
    with pytest.raises(InputError, match="did you mean classical"):
        compare_morphology(*pair, found_by="clasical")


def test_the_benign_reference_is_measured_named_or_given(pair) -> None:
    measured = compare_morphology(*pair).scores
    assert "grade 1 (the lowest class)" in measured["benign"]["rule"]
    named = compare_morphology(*pair, benign="grade 2").scores
    assert "grade 2 (the class named)" in named["benign"]["rule"]
    given = compare_morphology(*pair, benign=6.4).scores
    assert given["benign"] == {"diameter_um": 6.4, "rule": "given"}
    ratios = [s["measures"]["all"]["size_ratio"]["median_real"] for s in (named, measured, given)]
    assert ratios == sorted(ratios)


def test_classes_without_order_have_no_size_ratio(pair, tmp_path) -> None:
    bare = write_tileset(
        tmp_path / "bare", (replace(tile, label=None) for tile in pair[0].tiles()), classes=[]
    )
    scores = compare_morphology(bare, bare).scores
    assert scores["benign"]["diameter_um"] is scores["real"]["size_grades"] is None
    assert "classes have no order" in scores["benign"]["rule"]
    assert list(scores["measures"]) == ["all"]
    assert scores["measures"]["all"]["size_ratio"]["distance"] is None


@pytest.mark.slow
def test_files_are_written_whole_one_plot_per_class(pair, tmp_path) -> None:
    found = compare_morphology(*pair)
    written = write_comparison(found, tmp_path / "out")
    names = [
        "morphology.json",
        *(f"morphology-{name}.png" for name in ("all", "grade-1", "grade-2", "grade-3")),
    ]
    assert [path.name for path in written] == names == sorted(names, key=names.index)
    assert json.loads(written[0].read_text()) == found.scores
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    with Image.open(written[1]) as picture:
        assert picture.size[0] > 1000


@pytest.mark.slow
def test_what_cannot_be_compared_is_one_line(pair, tmp_path) -> None:
    coarse = drawn(tmp_path / "coarse", seed=1, mpp=1.0)
    with pytest.raises(InputError, match=r"tiles of 1\.0 µm/px"):
        compare_morphology(pair[0], coarse)
    unknown = drawn(tmp_path / "unknown", seed=1, mpp=None)
    with pytest.raises(InputError, match="its µm/px is unknown"):
        compare_morphology(unknown, unknown)
    bare = drawn(tmp_path / "bare", seed=1, mask=None)
    with pytest.raises(InputError, match=r"60 of 60 tiles have no mask.*--found-by"):
        compare_morphology(pair[0], bare)
    high = (tile for tile in pair[0].tiles() if tile.label == 2)
    only = write_tileset(tmp_path / "high", high, classes=CLASSES, ordinal=True)
    assert (
        "0 whole nuclei in tiles of class 'grade 1'"
        in compare_morphology(only, only).scores["benign"]["rule"]
    )
    with pytest.raises(InputError, match="0 whole nuclei"):
        compare_morphology(only, only, benign="grade 1")
    with pytest.raises(InputError, match="unknown; the classes are grade 1"):
        compare_morphology(*pair, benign="benign")
