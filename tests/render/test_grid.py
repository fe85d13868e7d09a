from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nucleosynth.errors import InputError
from nucleosynth.render.grid import grid, png_data_uri, save_png


def tile(value: int) -> np.ndarray:
    return np.full((1, 2, 3), value, np.uint8)


def test_three_tiles_in_two_columns_by_hand() -> None:
    picture = grid(np.stack([tile(1), tile(2), tile(3)]), columns=2, pad=1, background=9)
    expected = np.array([[1, 1, 9, 2, 2], [9, 9, 9, 9, 9], [3, 3, 9, 9, 9]])
    assert picture.shape == (3, 5, 3)
    assert np.array_equal(picture, np.repeat(expected[..., None], 3, axis=2))


def test_scale_repeats_pixels_and_fewer_tiles_make_a_narrower_picture() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    picture = grid(image, columns=5, scale=3, pad=4)
    assert np.array_equal(picture, image[0].repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(("rows", "columns", "pad"), [(2, 3, 0), (3, 2, 2), (1, 6, 5)])
def test_every_tile_is_found_again_where_it_belongs(rows: int, columns: int, pad: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (rows * columns, 4, 5, 3), dtype=np.uint8)
    picture = grid(images, columns=columns, pad=pad)
    for i, image in enumerate(images):
        y, x = i // columns * (4 + pad), i % columns * (5 + pad)
        assert np.array_equal(picture[y : y + 4, x : x + 5], image)


def test_png_is_lossless_as_a_file_and_as_a_data_uri(tmp_path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    with Image.open(save_png(tmp_path / "a.png", image)) as found:
        assert np.array_equal(np.asarray(found), image)
    head, _, code = png_data_uri(image).partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(code))) as found:
        assert np.array_equal(np.asarray(found), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("images", "columns", "says"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), 2, "no tile"),
        (np.zeros((2, 4, 4, 3), np.float32), 2, "expected uint8"),
        (np.zeros((2, 4, 4), np.uint8), 2, "expected uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), 0, "columns"),
    ],
)
def test_what_cannot_be_laid_out_is_named(images, columns, says) -> None:
    with pytest.raises(InputError, match=says):
        grid(images, columns=columns)
