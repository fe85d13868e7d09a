"""Merged TileSets: nothing is lost, nothing that does not fit is mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nucleosynth.data.merge import merge_tilesets
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.data.tileset import write_tileset
from nucleosynth.errors import InputError
from nucleosynth.segmentation.tilesets import mask_segmenters


def tile(name: str, index: int) -> Tile:
    drawn = np.random.default_rng(index)
    return Tile(
        tile_id=f"{name}:{index}",
        patient_id=f"{name}:p{index % 2}",
        image=drawn.integers(0, 256, (16, 16, 3), dtype=np.uint8),
        mask=drawn.integers(0, 4, (16, 16), dtype=np.uint16) if name == "a" else None,
        label=index % 2 if name == "a" else None,
        ratings=(Rating("one", "label", 1.0),) if name == "a" else (),
        mpp=0.5,
        extra={"counts": index} if name == "a" else {},
    )


def tileset(path, name, *, classes=("normal", "atypical"), **changes):
    rows = [replace(tile(name, index), **changes) for index in range(4)]
    return write_tileset(path / name, rows, classes=classes if name == "a" else (), licence=name.upper())


def test_merged_tiles_are_what_they_were(tmp_path):
    a, b = tileset(tmp_path, "a"), tileset(tmp_path, "b")
    merged = merge_tilesets([b, a], tmp_path / "merged")
    assert np.array_equal(merged.images, np.concatenate([b.images, a.images]))
    assert merged.has_mask.tolist() == [False] * 4 + [True] * 4
    assert merged.classes == ["normal", "atypical"]
    assert merged.labels.tolist() == [-1] * 4 + [0, 1, 0, 1]
    assert [t.extra.get("counts") for t in merged.tiles()] == [None] * 4 + [0, 1, 2, 3]
    assert merged.info["licence"] == "B; A"
    assert [part["tileset"] for part in merged.info["provenance"]["merged"]] == [
        b.content_hash,
        a.content_hash,
    ]


def test_only_the_named_patients_are_written(tmp_path):
    parts = [tileset(tmp_path, "a"), tileset(tmp_path, "b")]
    merged = merge_tilesets(parts, tmp_path / "merged", patients=["a:p1", "b:p0"], unlabelled=True)
    assert merged.patients.tolist() == ["a:p1", "a:p1", "b:p0", "b:p0"]
    assert merged.classes == []
    assert set(merged.labels.tolist()) == {-1}
    assert all(not t.ratings for t in merged.tiles())


def test_what_does_not_fit_is_named(tmp_path):
    a = tileset(tmp_path, "a")
    other = {
        "tile size": tileset(tmp_path / "size", "b", image=np.zeros((8, 8, 3), np.uint8)),
        "µm/px": tileset(tmp_path / "scale", "b", mpp=0.25),
        "column counts holds string": tileset(tmp_path / "column", "b", extra={"counts": "many"}),
        "classes grade": tileset(tmp_path / "classes", "a", classes=("grade 1", "grade 2")),
    }
    for words, part in other.items():
        with pytest.raises(InputError, match=words) as caught:
            merge_tilesets([a, part], tmp_path / "merged")
        assert str(part.path) in str(caught.value)
    with pytest.raises(InputError, match="a:0"):
        merge_tilesets([a, a], tmp_path / "merged")
    with pytest.raises(InputError, match="no TileSet"):
        merge_tilesets([], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_segmenter_of_masks_stays_recorded(tmp_path):
    maker = {"masks": {"name": "embedded", "weights_hash": "made"}}
    one = write_tileset(tmp_path / "one", [tile("a", 0)], classes=["x", "y"], provenance=maker)
    two = tileset(tmp_path, "b")
    both = merge_tilesets([one, two], tmp_path / "both")
    other = write_tileset(tmp_path / "other", [tile("c", 9)], classes=[])
    assert mask_segmenters(merge_tilesets([both, other], tmp_path / "all")) == {"made"}
    assert mask_segmenters(two) == set()
