"""TileSets: what is written is what is read, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.data import parquet as shards
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError


def tile(index, **changes):
    rng = np.random.default_rng(index)
    fields = {
        "tile_id": f"t:{index}",
        "patient_id": f"t:p{index % 3}",
        "image": rng.integers(0, 256, (16, 20, 3), dtype=np.uint8),
        "mask": rng.integers(0, 900, (16, 20), dtype=np.uint16) if index % 2 else None,
        "label": index % 2 if index else None,
        "ratings": (Rating("r1", "nuclei_size", 2.0),),
        "mpp": 0.5,
        "extra": {"patient_level": index},
    }
    return Tile(**{**fields, **changes})


@pytest.fixture
def tiles(tmp_path):
    return write_tileset(
        tmp_path / "tiles", map(tile, range(10)), classes=["normal", "atypical"], licence="CC0"
    )


def test_what_is_written_is_what_is_read(tiles):
    for index, read in enumerate(TileSet.open(tiles.path).tiles()):
        wanted = tile(index)
        assert np.array_equal(read.image, wanted.image)
        assert (read.mask is None) == (wanted.mask is None)
        assert wanted.mask is None or np.array_equal(read.mask, wanted.mask)
        assert (read.tile_id, read.label, read.ratings, read.mpp) == (
            wanted.tile_id,
            wanted.label,
            wanted.ratings,
            wanted.mpp,
        )
        assert read.extra == {"patient_level": index}
    tiles.verify()


def test_arrays_agree_with_the_table(tiles):
    assert tiles.images.shape == (10, 16, 20, 3)
    assert tiles.labels.tolist() == [-1, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert tiles.has_mask.tolist() == [bool(i % 2) for i in range(10)]
    assert tiles.rows_of(["t:p1"]).tolist() == [1, 4, 7]
    assert tiles.info["labelled"] == {"normal": 4, "atypical": 5}
    with pytest.raises(ValueError, match="read-only"):
        tiles.images[0, 0, 0, 0] = 1


def test_the_content_hash_follows_pixels_labels_and_patients_alone(tmp_path, tiles):
    def written(name, **changes):
        return write_tileset(
            tmp_path / name,
            (tile(i, **(changes if i == 4 else {})) for i in range(10)),
            classes=["normal", "atypical"],
        ).content_hash

    assert written("same") == tiles.content_hash
    others = [written("a", label=1), written("b", patient_id="t:p9"), written("c", image=tile(11).image)]
    assert len({tiles.content_hash, *others}) == 4


def test_shards_declare_hugging_face_images(tiles):
    metadata = pq.read_schema(next(tiles.path.glob("*.parquet"))).metadata
    features = json.loads(metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == features["mask"] == {"_type": "Image"}
    assert features["label"] == {"dtype": "int64", "_type": "Value"}
    assert set(features) == set(pq.read_schema(next(tiles.path.glob("*.parquet"))).names)


def test_many_tiles_spread_over_shards_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_GROUP", 4)
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 8)
    tiles = write_tileset(tmp_path / "many", map(tile, range(21)), classes=["a", "b"])
    assert len(shards.shard_paths(tiles.path)) == 3
    assert tiles.column("tile_id") == [f"t:{i}" for i in range(21)]
    tiles.verify()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 2}, "label 2 is outside the 2 classes"),
        ({"tile_id": "t:1"}, "t:1: the id occurs twice"),
        ({"image": np.zeros((8, 8, 3), np.uint8), "mask": None}, "one size per TileSet"),
        ({"image": np.zeros((16, 20), np.uint8)}, "expected RGB uint8"),
        ({"mask": np.zeros((4, 4), np.uint16)}, "mask must be uint16"),
    ],
)
def test_a_bad_tile_is_named_and_nothing_is_left(tmp_path, changes, words):
    rows = (tile(i, **(changes if i == 3 else {})) for i in range(5))
    with pytest.raises(InputError, match=words):
        write_tileset(tmp_path / "out", rows, classes=["a", "b"])
    assert not list(tmp_path.iterdir())


def test_an_existing_tileset_is_never_overwritten(tiles):
    with pytest.raises(InputError, match="already exists"):
        write_tileset(tiles.path, [tile(0)], classes=["a", "b"])
    tiles.verify()


def test_a_newer_schema_is_refused(tiles):
    info = json.loads((tiles.path / "tileset.json").read_text())
    (tiles.path / "tileset.json").write_text(json.dumps({**info, "schema": 2}))
    with pytest.raises(InputError, match=r"schema 2 is newer than 1.*upgrade"):
        TileSet.open(tiles.path)


@pytest.mark.parametrize("cut", [0, 100, 2000])
def test_a_damaged_shard_is_named(tiles, cut):
    shard = next(tiles.path.glob("*.parquet"))
    data = shard.read_bytes()
    shard.write_bytes(data[:cut])
    with pytest.raises(InputError, match=r"tiles-00000\.parquet: damaged Parquet shard"):
        TileSet.open(tiles.path).verify()


def test_a_changed_pixel_is_found(tmp_path, tiles):
    changed = write_tileset(
        tmp_path / "changed",
        (tile(i, **({"image": tile(12).image} if i == 7 else {})) for i in range(10)),
        classes=["normal", "atypical"],
    )
    shard = "tiles-00000.parquet"
    other = pq.read_table(changed.path / shard)
    mixed = pq.read_table(tiles.path / shard)
    mixed = mixed.set_column(mixed.column_names.index("image"), "image", other.column("image"))
    pq.write_table(mixed, tiles.path / shard)
    with pytest.raises(InputError, match="tile t:7 differs from its hash"):
        TileSet.open(tiles.path).verify()


def test_hugging_face_datasets_open_the_shards_as_they_are(tmp_path: Path) -> None:
    tiles = phantom_tileset(tmp_path / "tiles", tiles=6, patients=2)
    files = [str(path) for path in tiles.path.glob("tiles-*.parquet")]
    opened = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert isinstance(opened.features["image"], datasets.Image)
    np.testing.assert_array_equal(np.asarray(opened[3]["image"]), tiles.images[3])
    np.testing.assert_array_equal(np.asarray(opened[3]["mask"]), tiles.masks[3])
