from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.data.grid import blocks, lay_grid, renumber, resample_image, resample_labels

SCALES = [1.0, 0.5, 0.25, 0.491 / 0.5, 0.4545 / 0.5, 1 / 3, 0.37, 1.6, 2.0]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose red grows by 1 per 2 px to the right and whose green by 1 per 2 px downwards."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x / 2, y / 2, 0 * x], -1).round().astype(np.uint8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(300, 420), (301, 423), (299, 419)])
def test_a_grid_is_the_largest_that_fits_and_is_centred(shape: tuple[int, int], scale: float) -> None:
    grid = lay_grid(shape, 32, scale=scale)
    left, top, right, bottom = grid.box()
    height, width = shape
    assert left >= 0
    assert top >= 0
    assert right <= width + 0.5 / scale
    assert bottom <= height + 0.5 / scale
    assert (width * scale) - grid.columns * 32 < 32
    assert (height * scale) - grid.rows * 32 < 32
    assert abs((width - right) - left) * scale <= 1.5
    assert abs((height - bottom) - top) * scale <= 1.5


def test_a_patch_that_is_a_tile_gives_exactly_one() -> None:
    grid = lay_grid((128, 128), 64, scale=0.25 / 0.5)
    assert (grid.rows, grid.columns, grid.box()) == (1, 1, (0, 0, 128, 128))


def test_centre_takes_the_middle_tile() -> None:
    grid = lay_grid((128, 130), 64, place="centre")
    assert (grid.rows, grid.columns, grid.corner(0, 0)) == (1, 1, (33, 32))


def test_a_frame_smaller_than_a_tile_gives_none() -> None:
    assert lay_grid((31, 400), 32).rows == 0


def test_mitos_frames_give_the_published_number_of_tiles() -> None:
    """120 tiles of 128 px per Aperio x20 frame: 35,640 for the 297 labelled training frames."""
    grid = lay_grid((1376, 1539), 128)
    assert 297 * grid.rows * grid.columns == 35_640


def test_blocks_stitched_are_the_whole() -> None:
    image = rng().integers(0, 256, (96, 128, 3), dtype=np.uint8)
    grid = lay_grid((96, 128), 32)
    tiles = blocks(resample_image(image, grid), grid)
    rows = [np.concatenate(list(tiles[row * 4 : row * 4 + 4]), axis=1) for row in range(3)]
    np.testing.assert_array_equal(np.concatenate(rows), image)


@pytest.mark.parametrize("scale", SCALES)
def test_resampling_moves_nothing(scale: float) -> None:
    """On a ramp, each target pixel has the value that the ramp has below its centre."""
    image = ramp(301, 423)
    grid = lay_grid((301, 423), 32, scale=scale)
    result = resample_image(image, grid).astype(float)
    assert result.shape == (grid.rows * 32, grid.columns * 32, 3)
    x = (grid.left + np.arange(grid.columns * 32) + 0.5) / scale - 0.5
    y = (grid.top + np.arange(grid.rows * 32) + 0.5) / scale - 0.5
    inner = slice(8, -8)
    assert np.abs(result[8, inner, 0] - x[inner] / 2).max() <= 1
    assert np.abs(result[inner, 8, 1] - y[inner] / 2).max() <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_flat_tissue_stays_flat(scale: float) -> None:
    image = np.broadcast_to(np.array([200, 120, 180], np.uint8), (301, 423, 3))
    result = resample_image(np.ascontiguousarray(image), lay_grid((301, 423), 32, scale=scale))
    assert (result == image[0, 0]).all()


def test_halving_is_the_mean_of_four_pixels() -> None:
    image = rng().integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mean = image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    result = resample_image(image, lay_grid((64, 64), 32, scale=0.5))
    assert np.abs(result - mean).max() <= 0.5


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.3])
def test_detail_finer_than_the_target_does_not_alias(scale: float) -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    result = resample_image(stripes, lay_grid((256, 256), 32, scale=scale))[8:-8, 8:-8].astype(float)
    assert np.abs(result - 127.5).max() < 12


@pytest.mark.parametrize("scale", SCALES)
def test_labels_stay_on_their_nuclei(scale: float) -> None:
    y, x = np.mgrid[:301, :423]
    disc = (x - 200) ** 2 + (y - 150) ** 2 < 80**2
    image = np.where(disc[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    grid = lay_grid(disc.shape, 32, scale=scale)
    found = resample_image(image, grid)[..., 0] < 128
    labels = resample_labels(disc.astype(np.int32) * 70_000, grid)
    assert set(np.unique(labels)) == {0, 70_000}
    assert (found & (labels > 0)).sum() / (found | (labels > 0)).sum() > 1 - 0.05 / scale**0.5


def test_renumbering_keeps_the_partition_and_counts_from_one() -> None:
    labels = rng().choice([0, 7, 70_000, 12], size=(32, 32)).astype(np.int32)
    numbers = renumber(labels)
    assert numbers.dtype == np.uint16
    assert {(int(a), int(b)) for a, b in zip(labels.ravel(), numbers.ravel(), strict=True)} == {
        (0, 0),
        (7, 1),
        (12, 2),
        (70_000, 3),
    }


@pytest.mark.parametrize("value", [0, 9])
def test_renumbering_knows_a_tile_without_background_from_one_without_nuclei(value: int) -> None:
    assert np.unique(renumber(np.full((16, 16), value, np.int32))).tolist() == [min(value, 1)]
