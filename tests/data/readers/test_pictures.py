"""Pictures in parts and of unknown scale, as frames of a data set."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, write_pictures

from nucleosynth.config import parse
from nucleosynth.data.readers import PicturesReader, import_tiles, read_source
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
    frames = {f.frame_id: f for f in read_source(reader(diameter=5.0), root=tmp_path).frames}
    assert frames["drawn:small"].mpp == pytest.approx(0.5, rel=0.05)
    assert frames["drawn:large"].mpp == pytest.approx(0.25, rel=0.05)


def test_a_picture_that_tells_no_scale_is_named(tmp_path):
    write_pictures(tmp_path, {"empty": LABELS * 0})
    with pytest.raises(InputError, match=r"empty\.png: its scale is unknown"):
        read_source(reader(diameter=5.0), root=tmp_path)
