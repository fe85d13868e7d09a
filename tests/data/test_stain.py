"""Laws of the stain mathematics."""

from __future__ import annotations

import numpy as np
import pytest

from nucleosynth.data import stain
from nucleosynth.errors import InputError


def tissue(tiles: int = 4, size: int = 48, seed: int = 0) -> np.ndarray:
    """Tiles of two tones: a third nuclei, the rest stroma, mixed by the stain vectors themselves."""
    draw = np.random.default_rng(seed)
    dark = draw.random((tiles, size, size, 1)) < 1 / 3
    densities = np.where(dark, [0.45, 0.08, 0.0], [0.12, 0.16, 0.0]) * draw.normal(
        1, 0.05, (*dark.shape[:3], 1)
    )
    return stain.od_to_rgb(densities @ stain.HE_MATRIX)


def each(tiles: int, h: float, e: float) -> np.ndarray:
    return np.tile(np.array([h, e], np.float32), (tiles, 1))


def test_density_and_light_are_inverse():
    grey = np.repeat(np.arange(1, 256, dtype=np.uint8)[:, None], 3, axis=1)
    assert (stain.od_to_rgb(stain.rgb_to_od(grey)) == grey).all()
    assert np.allclose(stain.rgb_to_od(grey.astype(np.float32)), stain.rgb_to_od(grey), atol=1e-6)


def test_density_by_hand():
    # A tenth of the light is a density of one; white has none; less than white cannot be asked for.
    assert np.allclose(stain.rgb_to_od(np.array([[25.5, 255.0, 2.55]])), [[1, 0, 2]], atol=1e-6)
    assert (stain.od_to_rgb(np.full((1, 3), -0.2)) == 255).all()


def test_black_is_finite():
    assert np.isfinite(stain.concentrations(np.zeros((2, 2, 3), np.uint8))).all()


def test_stain_vectors_are_unit_and_the_residual_is_at_right_angles():
    gram = stain.HE_MATRIX @ stain.HE_MATRIX.T
    assert np.allclose(np.diag(gram), 1, atol=1e-6)
    assert np.allclose(gram[2, :2], 0, atol=1e-6)


def test_unmixing_finds_the_densities_that_were_mixed():
    mixed = np.array([[0.5, 0.1, 0.0], [0.0, 0.3, 0.0], [0.25, 0.25, 0.02]], np.float32)
    light = 255 * 10.0 ** -(mixed.astype(np.float64) @ stain.HE_MATRIX)
    assert np.allclose(stain.concentrations(light), mixed, atol=1e-5)
    assert np.allclose(stain.concentrations(np.rint(light).astype(np.uint8)), mixed, atol=0.02)


def test_tissue_fraction_counts_dark_pixels_of_each_tile():
    tiles = np.full((3, 4, 4, 3), 245, np.uint8)
    tiles[1, :1] = (200, 120, 170)
    tiles[2] = (90, 60, 140)
    assert np.allclose(stain.tissue_fraction(tiles), [0, 0.25, 1])
    assert float(stain.tissue_fraction(tiles[1])) == 0.25


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_jitter_by_one_and_zero_changes_nothing(kind):
    tiles = np.maximum(tissue(), 1).astype(kind)
    same = stain.jitter_stain(tiles, each(4, 1, 1), each(4, 0, 0))
    assert same.dtype == kind
    assert np.allclose(same, tiles, atol=0 if kind is np.uint8 else 1e-2)


def test_jitter_scales_and_shifts_the_densities_of_its_own_tile_only():
    tiles = tissue(3).astype(np.float32)
    factors = np.array([[1, 1], [1.3, 1], [1, 0.8]], np.float32)
    shifts = np.array([[0, 0], [0, 0.05], [-0.02, 0]], np.float32)
    before, after = (
        stain.concentrations(tiles),
        stain.concentrations(stain.jitter_stain(tiles, factors, shifts)),
    )
    assert np.allclose(
        after[..., :2], before[..., :2] * factors[:, None, None] + shifts[:, None, None], atol=2e-4
    )
    assert np.allclose(after[..., 2], before[..., 2], atol=2e-4)


def test_jitter_leaves_glass_alone():
    glass = np.full((1, 8, 8, 3), 240, np.uint8)
    assert (stain.jitter_stain(glass, each(1, 1.4, 0.6), each(1, 0.1, 0.1)) == glass).all()


def test_jitter_refuses_what_it_cannot_apply():
    with pytest.raises(InputError, match=r"shape \(4, 2\)"):
        stain.jitter_stain(tissue(), each(3, 1, 1), each(4, 0, 0))
    with pytest.raises(InputError, match="positive"):
        stain.jitter_stain(tissue(), each(4, 0, 1), each(4, 0, 0))
    with pytest.raises(InputError, match="R, G, B"):
        stain.rgb_to_od(np.zeros((4, 4), np.uint8))


def test_descriptor_holds_the_densities_of_dark_and_pale_tissue():
    raw = stain.stain_descriptor(tissue()) * stain._SCALE + stain._CENTRE
    assert np.allclose(raw, [0.45, 0.08, 0, 0.12, 0.16, 0], atol=0.01)


def test_descriptor_grows_with_the_stain_that_grows():
    tiles = tissue()
    by_h = [
        stain.stain_descriptor(stain.jitter_stain(tiles, each(4, f, 1), each(4, 0, 0))) for f in (0.7, 1, 1.3)
    ]
    by_e = [
        stain.stain_descriptor(stain.jitter_stain(tiles, each(4, 1, f), each(4, 0, 0))) for f in (0.7, 1, 1.3)
    ]
    assert (np.diff([d[[0, 3]] for d in by_h], axis=0) > 0.3).all()
    assert (np.diff([d[[1, 4]] for d in by_e], axis=0) > 0.3).all()
    assert np.abs(by_h[2] - by_h[0])[[1, 4]].max() < 0.15  # eosin does not follow haematoxylin


def test_moved_descriptor_is_the_descriptor_of_the_jittered_slide():
    tiles = tissue()
    factors, shifts = each(4, 1.2, 0.85), each(4, 0.03, 0.02)
    found = stain.stain_descriptor(stain.jitter_stain(tiles, factors, shifts))
    foretold = stain.move_descriptor(stain.stain_descriptor(tiles)[None], factors[:1], shifts[:1])[0]
    assert np.allclose(found, foretold, atol=0.15)


def test_descriptor_does_not_depend_on_order_or_on_the_number_of_nuclei():
    tiles = tissue(6)
    assert np.allclose(stain.stain_descriptor(tiles[::-1]), stain.stain_descriptor(tiles), atol=1e-5)
    half = tiles.copy()
    pale = stain.concentrations(half)[..., 0] < 0.25
    half[:, ::2][~pale[:, ::2]] = half[pale][0]  # every second row loses its nuclei
    assert np.allclose(stain.stain_descriptor(half), stain.stain_descriptor(tiles), atol=0.2)


@pytest.mark.parametrize(
    "tiles", [np.full((2, 32, 32, 3), 255, np.uint8), np.zeros((0, 32, 32, 3), np.uint8)]
)
def test_blank_tiles_have_the_neutral_descriptor(tiles):
    assert (stain.stain_descriptor(tiles) == np.zeros(6, np.float32)).all()


@pytest.mark.parametrize("value", [0, 150])
def test_even_tiles_have_a_finite_descriptor(value):
    assert np.isfinite(stain.stain_descriptor(np.full((1, 32, 32, 3), value, np.uint8))).all()


def test_large_slides_are_read_in_part_with_the_same_answer(monkeypatch):
    tiles = tissue(8)
    whole = stain.stain_descriptor(tiles)
    monkeypatch.setattr(stain, "_MAX_PIXELS", 4000)
    assert np.allclose(stain.stain_descriptor(tiles), whole, atol=0.1)
