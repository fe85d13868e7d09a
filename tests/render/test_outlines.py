from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nucleosynth.errors import InputError
from nucleosynth.render.outlines import OUTLINE, draw_masks, draw_outlines, outline_layer, outline_pixels


@pytest.fixture
def masks() -> np.ndarray:
    """Three tiles of random blobs, many of which touch each other or the edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(3, 32, 32)), (0, 2, 2))
    return np.stack([ndimage.label(tile > 0.02)[0] + (tile > 0.12) for tile in noise]).astype(np.uint16)


def test_one_square_by_hand() -> None:
    mask = np.zeros((1, 6, 6), np.uint16)
    mask[0, 1:5, 1:5] = 7
    ring = mask[0] > 0
    ring[2:4, 2:4] = False
    assert np.array_equal(outline_pixels(mask)[0], ring)


def test_touching_nuclei_share_one_line_and_the_edge_of_the_tile_has_none() -> None:
    mask = np.array([[[1, 1, 2, 2]] * 3], np.uint16)
    assert np.array_equal(outline_pixels(mask)[0], [[False, False, True, False]] * 3)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_outlines_lie_inside_nuclei_on_a_border_between_labels(masks, scale) -> None:
    outline = outline_pixels(masks.repeat(scale, 1).repeat(scale, 2))
    enlarged = masks.repeat(scale, 1).repeat(scale, 2).astype(int)
    assert outline.any()
    assert (enlarged[outline] > 0).all()
    padded = np.pad(enlarged, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = [padded[:, 1 + dy : padded.shape[1] - 1 + dy, 1 + dx : padded.shape[2] - 1 + dx]
               for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]  # fmt: skip
    assert np.array_equal(outline, np.any([window < enlarged for window in windows], axis=0))


def test_outlines_separate_all_instances(masks) -> None:
    inside = (masks > 0) & ~outline_pixels(masks)
    for tile, kept in zip(masks, inside, strict=True):
        parts, n = ndimage.label(kept)
        for part in range(1, n + 1):
            assert len(np.unique(tile[parts == part])) == 1


def test_enlarging_thins_the_outline_and_keeps_the_texture(masks) -> None:
    images = np.random.default_rng(2).integers(0, 256, (*masks.shape, 3), dtype=np.uint8)
    before = images.copy()
    small, large = draw_outlines(images, masks), draw_outlines(images, masks, scale=4)
    assert np.array_equal(images, before)
    assert large.shape == (3, 128, 128, 3)
    layer = outline_layer(masks, scale=4)
    drawn = layer[..., 3] > 0
    assert (large[drawn] == OUTLINE).all()
    assert np.array_equal(large[~drawn], images.repeat(4, 1).repeat(4, 2)[~drawn])
    assert drawn.mean() < 0.4 * (small != images).any(axis=-1).mean()


def test_a_tile_without_nuclei_stays_as_it_is() -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    empty = np.zeros((2, 8, 8), np.int32)
    assert np.array_equal(draw_outlines(images, empty), images)
    assert not outline_layer(empty).any()
    assert len(np.unique(draw_masks(empty).reshape(-1, 3), axis=0)) == 1


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="differ"):
        draw_outlines(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 9), np.uint16))
    with pytest.raises(InputError, match="integer masks"):
        outline_layer(np.zeros((1, 8, 8), np.float32))
