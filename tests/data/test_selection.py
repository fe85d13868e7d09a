"""Some tiles of a TileSet, and what both show in a notebook."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nucleosynth.data import pixel_cache as cache
from nucleosynth.data.selection import THUMBNAILS, TileSelection
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError


def test_one_tile(tiles):
    tile = tiles[3]
    assert isinstance(tile, Tile)
    assert tile.tile_id == tiles.column("tile_id")[3]
    np.testing.assert_array_equal(tile.image, tiles.images[3])
    assert tiles[-1].tile_id == tiles[np.int64(len(tiles) - 1)].tile_id


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 9, 3),
        slice(None, None, -1),
        [4, 1, 1],
        (np.arange(3) + 5),
        range(2, 5),
        [],
        np.array([-1, 0]),
    ],
    ids=str,
)
def test_some_tiles_are_those_of_the_arrays(tiles, key):
    some = tiles[key]
    places = np.arange(len(tiles))[key if isinstance(key, slice) else np.array(key, np.int64)]
    assert isinstance(some, TileSelection)
    np.testing.assert_array_equal(some.images, tiles.images[places])
    np.testing.assert_array_equal(some.masks, tiles.masks[places])
    np.testing.assert_array_equal(some.labels, tiles.labels[places])
    np.testing.assert_array_equal(some.patients, tiles.patients[places])
    assert [tile.tile_id for tile in some] == np.array(tiles.column("tile_id"))[places].tolist()


def test_booleans_choose(tiles):
    some = tiles[tiles.labels == 1]
    assert set(some.labels) == {1}
    assert len(some) == int((tiles.labels == 1).sum()) == len(tiles[(tiles.labels == 1).tolist()])


def test_a_selection_is_indexed_alike_and_cannot_be_written(tiles):
    some = tiles[10:20]
    assert some[2].tile_id == tiles[12].tile_id
    assert some[[0, -1]].rows.tolist() == [10, 19]
    for array in (some.images, some.masks, some.rows):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_tiles_are_iterated_to_the_end(tiles):
    assert [tile.tile_id for tile in tiles] == tiles.column("tile_id")
    assert len([*zip(tiles, tiles[:4], strict=False)]) == 4


@pytest.mark.parametrize(
    "key", ["a", None, 1.5, True, {}, object(), (1, 2), [1.5], [[1]], ["a"], np.zeros((2, 2), int)]
)
def test_keys_of_another_kind_are_one_line(tiles, key):
    with pytest.raises(InputError, match="expected a whole number, a slice, or a list") as caught:
        tiles[key]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [48, -49, 10**30, [0, 48], np.ones(3, bool)], ids=str)
def test_past_the_end_is_an_index_error_of_one_line(tiles, key):
    with pytest.raises(IndexError) as caught:
        tiles[key]
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


def test_a_wrong_slice_is_one_line(tiles):
    for key in (slice("a", None), slice(None, None, 0)):
        with pytest.raises(InputError, match=r"tiles\[10:20\]"):
            tiles[key]


def test_class_names(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    rows = [
        Tile(tile_id=f"t:{i}", image=pixels, patient_id="t:p", label=label)
        for i, label in enumerate((1, None, 0))
    ]
    made = write_tileset(tmp_path / "tiles", rows, classes=["normal", "atypical"])
    assert made.class_names.tolist() == ["atypical", "", "normal"]
    table = made.to_pandas()
    assert table["label"].tolist() == [1, pd.NA, 0]
    assert table["class_name"].tolist() == ["atypical", "", "normal"]


def test_pandas_has_all_columns_but_the_pixels(tiles):
    table = tiles[5:8].to_pandas()
    assert table.index.tolist() == [5, 6, 7]
    assert table["tile_id"].tolist() == tiles.column("tile_id")[5:8]
    assert set(tiles.table.column_names) | {"class_name"} == set(table.columns)
    assert len(tiles.to_pandas()) == len(tiles)


class _Checked(HTMLParser):
    """Tags that are opened and closed, and what the page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object")
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.loaded += [value for name, value in attrs if name in ("src", "href")]
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_html(text: str) -> list[str]:
    """Assert that a piece of HTML is whole and safe; return its pictures."""
    checked = _Checked(text)
    assert not checked.open
    assert all(one.startswith("data:image/png;base64,") for one in checked.loaded)
    return checked.loaded


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_tiles_show_themselves(tiles):
    for shown, words in (
        (tiles, "48 tiles of 16×16 px"),
        (tiles[:5], "5 tiles of 16×16 px"),
        (tiles[[]], "0 tiles"),
    ):
        text = shown._repr_html_()
        pictures = check_html(text)
        assert words in text
        assert len(pictures) == (1 if len(shown) else 0)
        assert all(name in text for name in tiles.classes)


def test_the_thumbnails_are_the_tiles(tmp_path):
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    rows = [
        Tile(tile_id=f"t:{i}", image=np.full((32, 32, 3), colour, np.uint8), patient_id="t:p")
        for i, colour in enumerate(colours)
    ]
    made = write_tileset(tmp_path / "tiles", rows, classes=[])
    for _ in range(2):  # decoded one by one, then from the cache
        (uri,) = check_html(made._repr_html_())
        picture = pixels_of(uri)
        assert picture.shape == (96, 3 * 96 + 2 * 3, 3)
        assert [tuple(picture[48, 48 + 99 * i]) for i in range(3)] == colours
        _ = made.images


def test_thumbnails_do_not_unpack_the_tiles(tiles, tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path / "cache"))
    opened = TileSet.open(tiles.path)
    opened._repr_html_()
    assert not cache.cache_root().exists()
    rows = np.array([0, 7, 30])
    images, masks = cache.some_pixels(opened.path, opened.content_hash, rows)
    np.testing.assert_array_equal(images, tiles.images[rows])
    np.testing.assert_array_equal(masks, tiles.masks[rows])
    assert len(opened) > THUMBNAILS


def test_names_are_escaped(tmp_path):
    name = "<script>alert(1)</script>"
    tile = Tile(tile_id="t:0", image=np.zeros((8, 8, 3), np.uint8), patient_id="t:p", label=0)
    text = write_tileset(tmp_path / "<b>", [tile], classes=[name])._repr_html_()
    check_html(text)
    assert "&lt;script&gt;" in text
    assert not re.search("<script|<b>x", text)
