"""Pictures in parts and of unknown scale, as frames of a data set."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, write_pictures

from nucleosynth.config import parse
from nucleosynth.data.readers import import_tiles, read_frames
from nucleosynth.data.readers.pictures import PicturesReader
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError

LABELS = disc_labels([(8, 8), (8, 23), (24, 9), (15, 15)], radius=3.5)
CORNERS = [[0, 0], [0, 30], [30, 0], [30, 30]]


def reader(**changes) -> PicturesReader:
    stated = {"reader": "pictures", "dataset": "drawn", "images": "images", "masks": "masks", **changes}
    return parse(PicturesReader, stated, source="test")


def test_parts_become_one_frame_and_tiles_of_it(tmp_path):
    parts = {f"{n}_{i}": LABELS[y : y + 34, x : x + 34] for n in "ab" for i, (y, x) in enumerate(CORNERS)}
    write_pictures(tmp_path, parts)
    config = reader(pattern=r"(?P<image>\w)_(?P<part>\d)", layout=CORNERS, mpp=0.5)
    tiles = import_tiles(config, TilesConfig(size=32), root=tmp_path, out=tmp_path / "tiles")
    assert sorted(set(tiles.patients.tolist())) == ["drawn:a", "drawn:b"]
    assert not any(tiles.column("patient_known"))
    masks = np.asarray(tiles.masks[:4]).reshape(2, 2, 32, 32).swapaxes(1, 2).reshape(64, 64)
    assert np.array_equal(masks > 0, LABELS > 0)


def test_each_picture_of_unknown_scale_is_scaled_by_its_nuclei(tmp_path):
    small, large = (disc_labels([(8, 8), (24, 24)], radius=r) for r in (2.5, 5.0))
    write_pictures(tmp_path, {"small": small, "large": large})
    frames = {f.frame_id: f for f in read_frames(reader(diameter=5.0), root=tmp_path).frames}
    assert frames["drawn:small"].mpp == pytest.approx(0.5, rel=0.05)
    assert frames["drawn:large"].mpp == pytest.approx(0.25, rel=0.05)


def test_a_picture_that_tells_no_scale_is_named(tmp_path):
    write_pictures(tmp_path, {"empty": LABELS * 0})
    with pytest.raises(InputError, match=r"empty\.png: its scale is unknown"):
        read_frames(reader(diameter=5.0), root=tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "(?P<image>a)_(?P<part>.)"}, "its part `x` is no number"),
        ({"pattern": r"(?P<image>b)_\d", "layout": [[0, 0]]}, "is part 0, as"),
        ({"layout": [[-1, 0]]}, "layout"),
    ],
)
def test_patterns_that_do_not_fit_are_one_line(tmp_path, changes, words):
    write_pictures(tmp_path, {"a_x": LABELS, "b_1": LABELS, "b_2": LABELS})
    with pytest.raises(InputError, match=words) as caught:
        read_frames(reader(mpp=0.5, **changes), root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_picture_may_be_whole_where_others_have_parts(tmp_path):
    write_pictures(tmp_path, {"a": LABELS, "b_0": LABELS[:34], "b_1": LABELS[30:]})
    config = reader(mpp=0.5, pattern=r"(?P<image>[a-z])(_(?P<part>\d))?", layout=[[0, 0], [30, 0]])
    frames = {frame.frame_id: frame.read()[1] for frame in read_frames(config, root=tmp_path).frames}
    assert np.array_equal(frames["drawn:a"] > 0, frames["drawn:b"] > 0)
