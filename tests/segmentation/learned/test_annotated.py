"""Annotated pictures: put together from parts, scaled by their nuclei, refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, write_pictures

from nucleosynth.config import parse
from nucleosynth.errors import InputError
from nucleosynth.segmentation.learned.annotated import content_hash, read_pictures, split_pictures
from nucleosynth.segmentation.learned.config import AnnotatedConfig

LABELS = disc_labels([(8, 8), (8, 23), (24, 9), (15, 15)], radius=3.5)
SOURCE = {"name": "drawn", "images": "images", "masks": "masks", "mpp": 0.5}
PARTS = {"pattern": r"(?P<image>\w)_(?P<part>\d)", "layout": [[0, 0], [0, 30], [30, 0], [34, 34]]}


def source(**changes) -> AnnotatedConfig:
    return parse(AnnotatedConfig, {**SOURCE, **changes}, source="test")


def test_parts_are_put_together(tmp_path):
    corners = PARTS["layout"]
    write_pictures(tmp_path, {f"a_{i}": LABELS[y : y + 34, x : x + 34] for i, (y, x) in enumerate(corners)})
    (picture,) = read_pictures(source(**PARTS), tmp_path)
    assert picture.name == "a"
    assert np.array_equal(picture.labels > 0, LABELS > 0)
    assert picture.labels.max() == 4


def test_files_that_do_not_match_are_left_out(tmp_path):
    write_pictures(tmp_path, {"a": LABELS, "b2": LABELS})
    assert [p.name for p in read_pictures(source(pattern="[a-z]"), tmp_path)] == ["a"]


def test_an_unknown_scale_is_read_off_the_median_nucleus(tmp_path):
    write_pictures(tmp_path, {"a": LABELS})
    (picture,) = read_pictures(source(mpp=None, diameter=7.0), tmp_path)
    assert picture.mpp == pytest.approx(0.5, rel=0.05)


def test_training_maps_follow_the_labels(tmp_path):
    write_pictures(tmp_path, {"a": LABELS * 300})  # gaps in the numbers do not matter
    (picture,) = read_pictures(source(), tmp_path)
    assert np.array_equal(picture.relative > 0, LABELS > 0)
    assert np.array_equal(picture.depth > 0, LABELS > 0)
    assert picture.relative.max() == 255


def test_the_hash_follows_the_content(tmp_path):
    for name, labels in (("one", LABELS), ("two", LABELS), ("three", LABELS.T.copy())):
        write_pictures(tmp_path / name, {"a": labels})
    one, two, three = (content_hash(read_pictures(source(), tmp_path / n)) for n in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_pictures_are_held_out_by_name(tmp_path):
    write_pictures(tmp_path, {"a": LABELS, "b": LABELS})
    pictures = read_pictures(source(), tmp_path)
    kept, held_out = split_pictures(pictures, ("b",))
    assert [p.name for p in kept] == ["a"]
    assert [p.name for p in held_out] == ["b"]
    with pytest.raises(InputError, match="`c` does not exist; known are a, b"):
        split_pictures(pictures, ("c",))
    with pytest.raises(InputError, match="every picture is held out"):
        split_pictures(pictures, ("a", "b"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": "imags"}, "imags: no such folder"),
        ({"pattern": "x"}, "no name matches 'x'"),
        ({"pattern": "(?P<image>[ab]).*"}, "in several files; give their `layout`"),
        ({"pattern": r"(?P<image>\w)_(?P<part>\d)", "layout": [[0, 0]]}, "part 1 of 1"),
        ({"mpp": None, "diameter": 6.0, "pattern": "empty"}, "no nucleus tells it"),
    ],
)
def test_bad_data_is_one_line(tmp_path, changes, message):
    write_pictures(tmp_path, {"a_0": LABELS, "a_1": LABELS, "empty": LABELS * 0})
    with pytest.raises(InputError, match=message) as caught:
        read_pictures(source(**changes), tmp_path)
    assert "\n" not in str(caught.value)


def test_an_image_without_labels_is_named(tmp_path):
    write_pictures(tmp_path, {"a": LABELS, "b": LABELS})
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(InputError, match="no label image `b`"):
        read_pictures(source(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mpp": None}, "give `mpp`, or `diameter`"),
        ({"diameter": 6.0}, "give `mpp`, or `diameter`"),
        ({"mpp": 25.0}, "mpp must be"),
        ({"pattern": "(?P<slide>.)"}, "the only groups are"),
        ({"pattern": "("}, "not a regular expression"),
    ],
)
def test_bad_settings_are_one_line(changes, message):
    with pytest.raises(InputError, match=message):
        source(**changes)
