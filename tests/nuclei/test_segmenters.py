"""The contract of every registered segmenter, and what the classical one finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.nuclei import Segmenter, get_segmenter, mask_agreement, segment, segmenter_names
from nucleosynth.nuclei.backends.classical import ClassicalSegmenter

PINK, VIOLET = np.array([232, 190, 214]), np.array([92, 62, 138])
TRAINING = ("01", "03", "04", "06", "07", "08", "11")


def drawn_tile(
    centres: list[tuple[float, float]], *, radius: float, size: int = 64, mpp: float = 0.5
) -> np.ndarray:
    """Draw violet discs on pink; centres and radius in µm."""
    y, x = (np.mgrid[:size, :size] + 0.5) * mpp
    inside = np.any([(y - cy) ** 2 + (x - cx) ** 2 < radius**2 for cy, cx in centres], axis=0)
    noise = np.random.default_rng(0).normal(scale=3, size=(size, size, 3))
    return (np.where(inside[..., None], VIOLET, PINK) + noise).clip(0, 255).astype(np.uint8)


FOUR = [(8.0, 8.0), (8.0, 23.0), (24.0, 9.0), (22.0, 24.0)]


@pytest.fixture(params=segmenter_names())
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    return get_segmenter(request.param)


def test_shape_and_dtype(segmenter: Segmenter) -> None:
    found = segmenter(np.stack([drawn_tile(FOUR, radius=3.5)] * 2), 0.5)
    assert found.shape == (2, 64, 64)
    assert found.dtype == np.int32
    assert segmenter(np.zeros((0, 64, 64, 3), np.uint8), 0.5).shape == (0, 64, 64)


def test_it_has_an_identity(segmenter: Segmenter) -> None:
    assert isinstance(segmenter, Segmenter)
    assert segmenter.name
    assert len(segmenter.weights_hash) == 16


def test_blank_tiles_hold_no_nuclei(segmenter: Segmenter) -> None:
    blank = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (255, 243, 0)])
    assert not segmenter(blank, 0.5).any()
    assert not segmenter(np.broadcast_to(PINK.astype(np.uint8), (1, 64, 64, 3)), 0.5).any()


def test_labels_count_from_one_without_gaps(segmenter: Segmenter) -> None:
    found = segmenter(drawn_tile(FOUR, radius=3.5)[None], 0.5)
    assert np.unique(found).tolist() == list(range(found.max() + 1))


def test_a_tile_does_not_depend_on_its_batch(segmenter: Segmenter) -> None:
    tiles = np.stack([drawn_tile(FOUR, radius=3.5), drawn_tile(FOUR[:1], radius=5)])
    together = segmenter(tiles, 0.5)
    assert np.array_equal(together, segmenter(tiles, 0.5))
    assert np.array_equal(together[1:], segmenter(tiles[1:], 0.5))


@pytest.mark.parametrize("mpp", [None, 0.0, -1.0, float("nan"), "0.5"])
def test_mpp_is_required(segmenter: Segmenter, mpp: float | None) -> None:
    with pytest.raises(InputError, match="µm/px"):
        segment(drawn_tile(FOUR, radius=3.5)[None], mpp, backend=segmenter)


def test_images_are_checked(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="expected uint8 RGB"):
        segmenter(drawn_tile(FOUR, radius=3.5), 0.5)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest is classical"):
        get_segmenter("clasical")


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_classical_finds_each_disc_at_any_scale(mpp: float) -> None:
    tile = drawn_tile(FOUR, radius=3.5, size=round(32 / mpp), mpp=mpp)
    found = segment(tile[None], mpp)
    assert found.max() == 4
    area = np.bincount(found.ravel())[1:] * mpp**2
    assert area == pytest.approx(np.full(4, np.pi * 3.5**2), rel=0.15)


def test_classical_separates_touching_discs_by_distance_in_um() -> None:
    touching = [(16.0, 12.7), (16.0, 19.3)]
    assert segment(drawn_tile(touching, radius=3.6)[None], 0.5).max() == 2
    assert ClassicalSegmenter(spacing=9.0)(drawn_tile(touching, radius=3.6)[None], 0.5).max() == 1


def test_classical_drops_what_is_too_small_in_um2() -> None:
    tile = drawn_tile([(16.0, 16.0)], radius=2.5)[None]  # 20 µm² at 0.5 µm/px
    assert segment(tile, 0.5).max() == 1
    assert segment(tile, 0.2).max() == 0  # the same pixels, now 3 µm²


def test_classical_fills_pale_nuclei() -> None:
    ring = drawn_tile([(16.0, 16.0)], radius=6.0)
    core = drawn_tile([(16.0, 16.0)], radius=2.0) != drawn_tile([], radius=1)
    ring[core.any(-1)] = PINK
    found = segment(ring[None], 0.5)[0] > 0
    assert found[32, 32]


def test_settings_have_their_own_hash() -> None:
    assert ClassicalSegmenter().weights_hash == get_segmenter("classical").weights_hash
    assert ClassicalSegmenter(blur=0.7).weights_hash != ClassicalSegmenter().weights_hash


@pytest.mark.real
def test_classical_on_real_training_patients(real_data: Callable[[str], Path]) -> None:
    from PIL import Image

    root = real_data("tnbc")
    paths = [path for path in sorted((root / "images").iterdir()) if path.stem[:2] in TRAINING][::4]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    masks = [next((root / "masks").glob(f"{path.stem}.*")) for path in paths]
    true = np.stack([np.asarray(Image.open(path).convert("L")) > 0 for path in masks])
    scores = mask_agreement(segment(images, 0.25), true)
    assert scores["iou"] is not None
    assert scores["iou"] > 0.4
    assert scores["iou"] > 3 * (scores["floor"]["iou"] or 0)
