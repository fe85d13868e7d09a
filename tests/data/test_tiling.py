from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nucleosynth.config import parse
from nucleosynth.data.prefetch import ordered_map
from nucleosynth.data.tile import Rating
from nucleosynth.data.tiling import Frame, TilesConfig, tile_frames
from nucleosynth.errors import InputError


def tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (height, width, 3), dtype=np.uint8)


def frame(
    image: np.ndarray,
    *,
    mpp: float | None = 0.5,
    name: str = "a",
    mask: np.ndarray | None = None,
    **more: object,
) -> Frame:
    fields: dict[str, object] = {
        "patient_id": "set:1",
        "frame_id": f"set:{name}",
        "path": Path(f"{name}.png"),
    }
    return Frame(read=lambda: (image, mask), mpp=mpp, **{**fields, **more})  # type: ignore[arg-type]


def message(fn: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        fn()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tiles_are_the_pixels_that_x_and_y_name() -> None:
    image = tissue(100, 150)
    tiles = list(tile_frames([frame(image)], TilesConfig(size=32)))
    assert len(tiles) == 3 * 4
    for tile in tiles:
        assert tile.x is not None
        assert tile.y is not None
        x, y = int(tile.x), int(tile.y)
        np.testing.assert_array_equal(tile.image, image[y : y + 32, x : x + 32])
    assert len({tile.tile_id for tile in tiles}) == 12


def test_tiles_stitched_are_the_frame_with_its_nuclei() -> None:
    image = tissue(96, 128)
    nuclei = np.kron(np.arange(1, 49).reshape(6, 8), np.ones((16, 16))).astype(np.int32) * 1000
    nuclei[::16] = 0
    shifted = np.roll(nuclei, (5, 5), (0, 1))  # so that borders cut nuclei
    stitched = np.zeros_like(image)
    for tile in tile_frames([frame(image, mask=shifted)], TilesConfig(size=32)):
        assert tile.mask is not None
        assert tile.mask.dtype == np.uint16
        x, y = int(tile.x or 0), int(tile.y or 0)
        stitched[y : y + 32, x : x + 32] = tile.image
        source = shifted[y : y + 32, x : x + 32]
        pairs = set(zip(source.ravel().tolist(), tile.mask.ravel().tolist(), strict=True))
        assert len(pairs) == len(np.unique(source)) == len(np.unique(tile.mask))
        assert (0, 0) in pairs
        assert tile.mask.max() == len(pairs) - 1
    np.testing.assert_array_equal(stitched, image)


def test_a_tile_inherits_what_is_known_of_its_frame() -> None:
    ratings = (Rating("r1", "nuclei_size", 2.0),)
    known = {
        "slide_id": "set:A1", "label": 2, "ratings": ratings, "scanner": "S", "patient_known": False,
        "extra": {"part": "test"},
    }  # fmt: skip
    (tile,) = tile_frames([frame(tissue(64, 64), mpp=0.25, **known)], TilesConfig(size=32, mpp=0.5))
    for name, value in known.items():
        assert getattr(tile, name) == value
    assert (tile.patient_id, tile.frame_id, tile.tile_id) == ("set:1", "set:a", "set:a")
    assert (tile.source_mpp, tile.mpp, tile.x, tile.y) == (0.25, 0.5, 0, 0)


def picture(width: int, height: int, mpp: float) -> np.ndarray:
    """One and the same smooth tissue, as a scanner of ``mpp`` µm/px sees it."""
    y, x = (np.mgrid[:height, :width] + 0.5) * mpp
    waves = [np.sin(x / 3) * np.cos(y / 4), np.sin((x + y) / 5), np.cos(x / 6 - y / 3)]
    return (128 + 60 * np.stack(waves, -1)).astype(np.uint8)


def test_two_scanners_give_the_same_tiles_of_the_same_tissue() -> None:
    """Frame sizes and scales of MITOS-ATYPIA-14 at x20, a quarter of the area."""
    aperio = frame(picture(770, 688, 0.491), mpp=0.491, name="A")
    hamamatsu = frame(picture(832, 743, 0.4545), mpp=0.4545, name="H")
    config = TilesConfig(size=64, mpp=0.5)
    first, second = (list(tile_frames([scan], config)) for scan in (aperio, hamamatsu))
    assert len(first) == len(second) == 11 * 10
    for a, b in zip(first, second, strict=True):
        assert abs((a.x or 0) * 0.491 - (b.x or 0) * 0.4545) <= 0.5  # µm: one target pixel
        assert abs((a.y or 0) * 0.491 - (b.y or 0) * 0.4545) <= 0.5
        assert np.abs(a.image.astype(int) - b.image.astype(int)).mean() < 6


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_and_pixels_do_not_depend_on_workers(workers: int) -> None:
    frames = [frame(tissue(64, 96, seed), name=str(seed)) for seed in range(7)]
    one = list(tile_frames(frames, TilesConfig(size=32), workers=1))
    many = list(tile_frames(frames, TilesConfig(size=32), workers=workers))
    assert [tile.tile_id for tile in one] == [tile.tile_id for tile in many]
    assert all((a.image == b.image).all() for a, b in zip(one, many, strict=True))


def test_few_frames_are_decoded_ahead_and_none_after_the_consumer_stops() -> None:
    begun: list[int] = []
    results = ordered_map(lambda n: begun.append(n) or n, range(1000), workers=2)
    assert [next(results), next(results)] == [0, 1]
    assert len(begun) <= 2 + 4
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 2 + 4
    assert threading.active_count() < 50


def test_an_error_comes_in_its_place() -> None:
    results = ordered_map(lambda n: 1 // (n - 3), range(10), workers=2)
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def half_glass() -> np.ndarray:
    image = tissue(64, 128)
    image[:, 64:] = 250
    image[:, 60:64] = 250
    return image


@pytest.mark.parametrize(
    ("min_tissue", "left"), [(None, [0, 32]), (0, [0, 32, 64, 96]), (0.9, [0]), (0.8, [0, 32])]
)
def test_tiles_below_the_tissue_share_are_dropped(min_tissue: float | None, left: list[int]) -> None:
    tiles = list(tile_frames([frame(half_glass())], TilesConfig(size=32, min_tissue=min_tissue)))
    assert sorted({tile.x for tile in tiles}) == left


def test_a_frame_that_is_one_tile_is_kept_unless_asked_otherwise() -> None:
    glass = frame(np.full((32, 32, 3), 250, np.uint8))
    assert len(list(tile_frames([glass], TilesConfig(size=32)))) == 1
    text = message(lambda: list(tile_frames([glass], TilesConfig(size=32, min_tissue=0.05))))
    assert "tiles.min_tissue" in text


def test_without_a_target_tiles_keep_the_scale_of_the_source() -> None:
    (tile,) = tile_frames([frame(tissue(32, 32), mpp=0.23)], TilesConfig(size=32))
    assert tile.mpp == 0.23


def test_unknown_scale_is_written_as_unknown_and_never_resampled() -> None:
    image = tissue(32, 32)
    (tile,) = tile_frames([frame(image, mpp=None)], TilesConfig(size=32, mpp="unknown"))
    assert (tile.mpp, tile.source_mpp) == (None, None)
    np.testing.assert_array_equal(tile.image, image)


def refused(*mpps: float | None, size: int = 32, mpp: float | None = None) -> str:
    frames = [frame(tissue(40, 40), mpp=value, name=f"f{n}") for n, value in enumerate(mpps)]
    return message(lambda: list(tile_frames(frames, TilesConfig(size=size, mpp=mpp))))


def test_frames_without_scale_are_refused() -> None:
    assert refused(0.5, None, mpp=0.5).startswith("f1.png: mpp missing; give data.mpp")


@pytest.mark.parametrize("value", [0.0, -1.0, 0.01, 25.0, 250.0, math.nan, math.inf])
def test_absurd_scales_are_refused(value: float) -> None:
    text = refused(value)
    assert text.startswith("f0.png: ")
    assert "0.25 is usual at x40" in text


def test_enlarging_is_allowed_up_to_twofold() -> None:
    config = TilesConfig(size=32, mpp=0.25)
    assert len(list(tile_frames([frame(tissue(32, 32), mpp=0.5)], config))) == 4
    assert "enlarged 2.2 times to 0.25" in refused(0.55, mpp=0.25)


def test_frames_of_two_scales_need_a_target() -> None:
    assert "differ in µm/px (0.25, 0.5)" in refused(0.5, 0.25)


def test_a_frame_smaller_than_a_tile_is_refused_with_both_sizes() -> None:
    text = refused(0.25, mpp=0.5)
    assert "40 x 40 px is 20 x 20 px at 0.5 µm/px, less than a tile of 32 px" in text


@pytest.mark.parametrize(
    "data", [{"size": 8}, {"mpp": 250}, {"mpp": "unknwon"}, {"min_tissue": 2}, {"place": "random"}]
)
def test_settings_out_of_range_are_named(data: dict[str, object]) -> None:
    (key,) = data
    assert f"`{key}" in message(lambda: parse(TilesConfig, data))
