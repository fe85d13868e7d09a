"""Crops across neighbours, against frames that were cut into tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nucleosynth.data.crops import Crops, Mosaic
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import write_tileset

SIDE, ROWS, COLUMNS = 8, 3, 4


def frame_pixels(seed):
    return np.random.default_rng(seed).integers(0, 256, (ROWS * SIDE, COLUMNS * SIDE, 3), dtype=np.uint8)


def frame_mask():
    """Two nuclei: one where four tiles meet, one inside a tile; and two that only touch, inside a tile."""
    mask = np.zeros((ROWS * SIDE, COLUMNS * SIDE), np.uint16)
    mask[5:11, 6:12] = 1
    mask[18:21, 26:29] = 2
    mask[1:3, 1:3] = 3
    mask[3:5, 1:3] = 4
    return mask


def local(mask):
    """Number from 1 in each tile, as import does."""
    return np.unique(mask, return_inverse=True)[1].reshape(mask.shape).astype(np.uint16) + (mask.min() > 0)


def cut(name, *, mask=True, scale=2.0, label=0, patient="p:1"):
    pixels, nuclei = frame_pixels(len(name)), frame_mask()
    for row in range(ROWS):
        for column in range(COLUMNS):
            part = np.s_[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            yield Tile(
                tile_id=f"t:{name}-{row}-{column}",
                image=pixels[part],
                mask=local(nuclei[part]) if mask else None,
                patient_id=patient,
                frame_id=f"t:{name}",
                label=label,
                x=(3 + column * SIDE) * scale,
                y=(1 + row * SIDE) * scale,
                source_mpp=0.25,
                mpp=0.25 * scale,
            )


def mosaic(tmp_path, tiles, rows=None):
    written = write_tileset(tmp_path / "tiles", list(tiles), classes=["a", "b"])
    return Mosaic(written, np.arange(len(written)) if rows is None else np.asarray(rows))


def where(crop, pixels):
    """Return the corner of a crop in its frame."""
    hits = [
        (y, x)
        for y in range(pixels.shape[0] - SIDE + 1)
        for x in range(pixels.shape[1] - SIDE + 1)
        if np.array_equal(pixels[y : y + SIDE, x : x + SIDE], crop)
    ]
    assert len(hits) == 1
    return hits[0]


def drawn(found, picked, seeds=range(40)):
    return [found.draw(np.asarray(picked), np.random.default_rng(seed)) for seed in seeds]


@pytest.mark.slow
def test_crops_are_cut_from_the_frame_with_its_nuclei(tmp_path):
    found = mosaic(tmp_path, cut("one"))
    pixels, nuclei = frame_pixels(3), frame_mask()
    corners = set()
    for crops in drawn(found, range(12)):
        assert crops.images.shape == (12, SIDE, SIDE, 3)
        assert crops.has_mask.all()
        for image, mask in zip(crops.images, crops.masks, strict=True):
            y, x = where(image, pixels)
            corners.add((y, x))
            truth = nuclei[y : y + SIDE, x : x + SIDE]
            assert np.array_equal(mask > 0, truth > 0)
            pairs = set(zip(mask[mask > 0].tolist(), truth[truth > 0].tolist(), strict=True))
            assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert len(corners) > 250  # of 17 x 25
    ys, xs = np.array(sorted(corners)).T
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (0, 16, 0, 24)


def test_crops_lie_near_the_picked_tile(tmp_path):
    found = mosaic(tmp_path, cut("one"))
    for crops in drawn(found, [0, 5]):
        near, middle = (where(image, frame_pixels(3)) for image in crops.images)
        assert max(near) <= SIDE
        assert 0 <= middle[0] <= 16
        assert 0 <= middle[1] <= 16


def test_frames_do_not_mix_and_lone_tiles_stay_as_they_are(tmp_path):
    lone = replace(next(iter(cut("lone", patient="p:2"))), x=None, y=None)
    found = mosaic(tmp_path, [*cut("one"), *cut("three", patient="p:3"), lone])
    for crops in drawn(found, [0, 12, 24]):
        where(crops.images[0], frame_pixels(3))
        where(crops.images[1], frame_pixels(5))
        assert np.array_equal(crops.images[2], lone.image)
        assert np.array_equal(crops.masks[2] > 0, lone.mask > 0)


def test_only_the_rows_given_are_read(tmp_path):
    kept = [0, 1, 2, 3, 4, 5, 8]
    found = mosaic(tmp_path, cut("one"), kept)
    for crops in drawn(found, range(7)):
        for position, image in enumerate(crops.images):
            y, x = where(image, frame_pixels(3))
            if position in (0, 1, 4, 5):  # the only block, around rows 0, 1, 4 and 5
                assert max(y, x) <= SIDE
            else:
                assert (y, x) == (SIDE * (kept[position] // 4), SIDE * (kept[position] % 4))


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"label": 1}, {"label": None}])
def test_a_crop_has_one_label(tmp_path, change):
    tiles = [replace(tile, **change) if i % 4 > 1 else tile for i, tile in enumerate(cut("one"))]
    found = mosaic(tmp_path, tiles)
    for crops in drawn(found, range(12)):
        for position, image in enumerate(crops.images):
            _, x = where(image, frame_pixels(3))
            assert x <= SIDE if position % 4 < 2 else x >= 2 * SIDE


def test_a_crop_has_a_mask_where_all_its_tiles_have_one(tmp_path):
    tiles = [replace(tile, mask=None) if i == 0 else tile for i, tile in enumerate(cut("one"))]
    found = mosaic(tmp_path, tiles)
    given = np.array([crops.has_mask for crops in drawn(found, range(12))])
    assert not given[:, 0].any()
    assert given[:, [2, 3, 6, 7, 8, 9, 10, 11]].all()
    assert given[:, 5].any()
    assert not given[:, 5].all()
    bare = mosaic(tmp_path / "bare", cut("one", mask=False))
    assert not drawn(bare, [0])[0].masks.any()


def test_tiles_off_the_grid_have_no_neighbours(tmp_path):
    tiles = [replace(tile, x=tile.x + 2.3 * (i % 4)) for i, tile in enumerate(cut("one"))]
    assert not mosaic(tmp_path, tiles)


def test_tiles_as_they_are(tmp_path):
    found = mosaic(tmp_path, cut("one"))
    crops = Crops.of(found.tiles, np.array([3, 1]))
    assert np.array_equal(crops.images[0], found.tiles.images[3])
    assert np.array_equal(crops.masks[1], found.tiles.masks[1])
