"""Odd label images, with gaps, without nuclei, with one larger than the tile, for all functions."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.errors import InputError
from nucleosynth.layouts.fit import fit_class_statistics
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.nuclei.morphology import nuclei_table, tile_table

MPP = 0.75


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """Masks of 24 tiles, far more than 50 whole nuclei among them."""
    return np.stack([tile.mask for tile in phantom_tiles(PhantomConfig(tiles=24), size=64, mpp=MPP)])


def with_gaps(masks: np.ndarray) -> np.ndarray:
    """The same nuclei under numbers far apart, beyond 16 bits."""
    return 70_000 * masks.astype(np.int64)


def with_tiles(masks: np.ndarray, value: int, *, count: int) -> np.ndarray:
    """The masks and some tiles of one value: 0 is empty, else a nucleus that covers the tile."""
    return np.concatenate([masks, np.full((count, *masks.shape[1:]), value, masks.dtype)])


def test_gaps_in_the_numbers_change_no_agreement(masks):
    other = np.roll(masks, 2, axis=2)
    assert mask_agreement(with_gaps(other), masks) == mask_agreement(other, masks)
    assert mask_agreement(with_gaps(masks), masks)["pq"] == 1.0


def test_gaps_in_the_numbers_change_no_measure_and_no_layout(masks):
    table, gappy = (nuclei_table(None, m, mpp=MPP) for m in (masks, with_gaps(masks)))
    for name in set(table.column_names) - {"label"}:
        np.testing.assert_array_equal(gappy[name], table[name], err_msg=name)
    plain, other = (fit_class_statistics(m, mpp=MPP, rounds=0) for m in (masks, with_gaps(masks)))
    assert other == plain


def test_empty_tiles_are_counted_and_measured_as_such(masks):
    wide = with_tiles(masks, 0, count=8)
    assert mask_agreement(wide, wide)["pq"] == 1.0
    assert mask_agreement(with_tiles(masks, 0, count=8), with_tiles(masks, 1, count=8))["iou"] < 1
    tiles = tile_table(nuclei_table(None, wide, mpp=MPP))
    assert tiles["density_per_mm2"].to_pylist()[-8:] == [0.0] * 8
    assert np.isnan(tiles["diameter_um"].to_numpy()[-8:]).all()
    statistics = fit_class_statistics(wide, mpp=MPP, rounds=0)
    assert statistics.density[:8] == (0.0,) * 8
    assert statistics.nuclei == fit_class_statistics(masks, mpp=MPP, rounds=0).nuclei


def test_a_nucleus_larger_than_the_tile_counts_and_has_no_size(masks):
    wide = with_tiles(masks, 1, count=8)
    assert mask_agreement(wide, wide)["f1"] == 1.0
    tiles = tile_table(nuclei_table(None, wide, mpp=MPP))
    assert tiles["nuclei"].to_pylist()[-8:] == [1] * 8
    assert tiles["whole_nuclei"].to_pylist()[-8:] == [0] * 8
    assert np.isnan(tiles["diameter_um"].to_numpy()[-8:]).all()
    assert (
        fit_class_statistics(wide, mpp=MPP, rounds=0).nuclei
        == fit_class_statistics(masks, mpp=MPP, rounds=0).nuclei
    )


@pytest.mark.parametrize("value", [0, 1])
def test_tiles_without_a_whole_nucleus_teach_no_layout(value):
    with pytest.raises(InputError, match="0 whole nuclei in 9 tiles") as caught:
        fit_class_statistics(np.full((9, 32, 32), value, np.uint16), mpp=MPP)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(24, 64, 60), (23, 64, 64), (64, 64)])
def test_masks_of_another_size_are_one_line(masks, shape):
    other, images = np.zeros(shape, np.uint16), np.zeros((*masks.shape, 3), np.uint8)
    for call in (lambda: mask_agreement(other, masks), lambda: nuclei_table(images, other, mpp=MPP)):
        with pytest.raises(InputError, match=r"expected (the same|alike|\(n, h, w\))") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.float32, np.complex64, "U1"])
def test_masks_that_hold_no_whole_numbers_are_one_line(masks, kind):
    for call in (lambda m: mask_agreement(m, m), lambda m: nuclei_table(None, m, mpp=MPP)):
        with pytest.raises(InputError, match=r"expected labels \(whole numbers\) or booleans") as caught:
            call(masks[:2].astype(kind))
        assert "\n" not in str(caught.value)
