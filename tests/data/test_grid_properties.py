"""Laws of tiles on a frame, whatever its shape, the tiles' size and the scale."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nucleosynth.data.grid import Grid, blocks, lay_grid, renumber, resample_image, resample_labels

SIDES = st.integers(1, 90)
SIZES = st.integers(1, 24)
SCALES = st.sampled_from([0.25, 1 / 3, 0.5, 0.7, 1.0, 1.5, 2.0])
PLACES = st.sampled_from(["grid", "centre"])


def numbered(height: int, width: int) -> np.ndarray:
    """Each pixel a label of its own."""
    return np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)


@given(SIDES, SIDES, SIZES, SCALES, PLACES)
def test_as_many_tiles_as_fit_lie_inside_and_in_the_middle(height, width, size, scale, place):
    grid = lay_grid((height, width), size, scale=scale, place=place)
    for side, count, start in ((height, grid.rows, grid.top), (width, grid.columns, grid.left)):
        whole = int(side * scale + 0.5)  # target px
        assert count == (min(whole // size, 1) if place == "centre" else whole // size)
        spare = whole - count * size - start
        assert 0 <= spare - start <= 1
    if grid.rows and grid.columns:
        left, top, right, bottom = grid.box()
        half = 0.5 / scale + 1e-9  # a frame may miss half a target pixel
        assert left >= 0 and top >= 0
        assert right <= width + half and bottom <= height + half


@given(SIDES, SIDES, SIZES, SCALES)
def test_corners_map_back_and_tiles_follow_each_other(height, width, size, scale):
    grid = lay_grid((height, width), size, scale=scale)
    for row in range(grid.rows):
        for column in range(grid.columns):
            x, y = grid.corner(row, column)
            assert np.isclose(x * scale, grid.left + column * size)
            assert np.isclose(y * scale, grid.top + row * size)


@given(SIDES, SIDES, SIZES)
def test_tiles_put_together_are_the_frame_below_the_grid(height, width, size):
    grid, frame = lay_grid((height, width), size), numbered(height, width)
    tiles = blocks(resample_labels(frame, grid), grid)
    assert tiles.shape == (grid.rows * grid.columns, size, size)
    whole = np.zeros((grid.rows * size, grid.columns * size), np.int32)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, grid.columns)
        whole[row * size : (row + 1) * size, column * size : (column + 1) * size] = tile
    rows, columns = slice(grid.top, grid.top + len(whole)), slice(grid.left, grid.left + whole.shape[1])
    assert np.array_equal(whole, frame[rows, columns])


@given(SIDES, SIDES, SIZES, SCALES)
def test_labels_come_from_the_pixel_below_and_no_label_is_invented(height, width, size, scale):
    grid, frame = lay_grid((height, width), size, scale=scale), numbered(height, width)
    found = resample_labels(frame, grid)
    assert found.shape == (grid.rows * size, grid.columns * size)
    assert np.isin(found, frame).all()
    y, x = (np.arange(n) + start + 0.5 for n, start in zip(found.shape, (grid.top, grid.left), strict=True))
    below = (found - 1) // width, (found - 1) % width
    tolerance = 1 + 1e-6  # px; half a target pixel more at the far edge of a frame that misses it
    assert (np.abs(below[0] + 0.5 - (y / scale)[:, None]) <= tolerance / min(scale, 1)).all()
    assert (np.abs(below[1] + 0.5 - (x / scale)[None]) <= tolerance / min(scale, 1)).all()


@given(SIDES, SIDES, st.integers(4, 24), SCALES, st.integers(0, 255))
def test_a_flat_image_stays_flat_at_every_scale(height, width, size, scale, value):
    grid = lay_grid((height, width), size, scale=scale)
    if grid.rows and grid.columns:
        found = resample_image(np.full((height, width, 3), value, np.uint8), grid)
        assert found.shape == (grid.rows * size, grid.columns * size, 3)
        assert (found == value).all()


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=40))
def test_renumbered_labels_are_1_to_n_in_order_and_0_stays(values):
    labels = np.array(values)[None]
    found = renumber(labels, np.int32)
    assert set(found.ravel().tolist()) - {0} == set(range(1, len(set(values) - {0}) + 1))
    assert np.array_equal(found == 0, labels == 0)
    order = np.argsort(labels[0], kind="stable")
    assert (np.diff(found[0][order]) >= 0).all()
    assert np.array_equal(renumber(found, np.int32), found)


@given(st.integers(0, 5), st.integers(0, 5), SIZES)
def test_blocks_keep_every_pixel_once(rows, columns, size):
    grid = Grid(rows, columns, 0, 0, size, 1.0)
    array = np.arange(rows * columns * size * size).reshape(rows * size, columns * size)
    assert np.array_equal(np.sort(blocks(array, grid).ravel()), array.ravel())
