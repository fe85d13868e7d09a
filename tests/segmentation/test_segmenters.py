"""The contract of every registered segmenter, and what the classical one finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.nuclei.drawn import PINK, VIOLET, disc_labels, painted
from tests.phantoms import phantom_tileset
from tests.registries import keep_as_is
from tests.segmentation.scripted import write_hdyolo, write_instanseg

from nucleosynth.cli import main
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.backends.classical import ClassicalSegmenter
from nucleosynth.segmentation.learned.weights import save_weights, shipped_weights
from nucleosynth.segmentation.segmenter import (
    SEGMENTER_FILES,
    SEGMENTERS,
    Segmenter,
    get_segmenter,
    register_segmenter,
    segment,
    segmenter_names,
)

TRAINING = ("01", "03", "04", "06", "07", "08", "11")


def drawn_tile(
    centres: list[tuple[float, float]], *, radius: float, size: int = 64, mpp: float = 0.5
) -> np.ndarray:
    """Draw violet discs on pink; centres and radius in µm."""
    blank = np.zeros((size, size), np.int32)
    return painted(disc_labels(centres, radius=radius, size=size, mpp=mpp) if centres else blank)


FOUR = [(8.0, 8.0), (8.0, 23.0), (24.0, 9.0), (22.0, 24.0)]


def write_weights(directory: Path) -> None:
    save_weights(*shipped_weights("judge"), directory)


FILES = {
    "torchscript:instanseg": write_instanseg,
    "torchscript:hdyolo": write_hdyolo,
    "weights": write_weights,
}


def test_every_kind_of_file_is_held_to_the_contract() -> None:
    assert {kind.partition(":")[0] for kind in FILES} == set(SEGMENTER_FILES)


@pytest.fixture(params=[*segmenter_names(), *FILES])
def segmenter(request: pytest.FixtureRequest, tmp_path: Path) -> Segmenter:
    if request.param not in FILES:
        return get_segmenter(request.param)
    FILES[request.param](tmp_path / "model.pt")
    return get_segmenter(f"{request.param}:{tmp_path / 'model.pt'}")


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


@pytest.mark.parametrize("colour", [VIOLET, np.array([120, 80, 150])])
def test_a_nucleus_larger_than_the_tile_is_no_accident(segmenter: Segmenter, colour: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(scale=3, size=(1, 64, 64, 3))
    found = segmenter((colour + noise).clip(0, 255).astype(np.uint8), 0.25)
    assert found.shape == (1, 64, 64)
    assert np.unique(found).tolist() == list(range(found.min(), found.max() + 1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (63, 65)])
def test_odd_tiles_keep_their_shape(segmenter: Segmenter, shape: tuple[int, int]) -> None:
    tile = drawn_tile(FOUR, radius=3.5, size=65)[: shape[0], : shape[1]]
    assert segmenter(tile[None], 0.5).shape == (1, *shape)


@pytest.mark.parametrize("mpp", [None, 0.0, -1.0, float("nan"), "0.5"])
def test_mpp_is_required(segmenter: Segmenter, mpp: float | None) -> None:
    with pytest.raises(InputError, match="µm/px"):
        segment(drawn_tile(FOUR, radius=3.5)[None], mpp, backend=segmenter)


OTHER_IMAGES = {
    "fractions": np.zeros((1, 64, 64, 3), np.float32),
    "grey": np.zeros((1, 64, 64), np.uint8),
    "one channel": np.zeros((1, 64, 64, 1), np.uint8),
    "RGBA": np.zeros((1, 64, 64, 4), np.uint8),
    "channels first": np.zeros((1, 3, 64, 64), np.uint8),
}


@pytest.mark.parametrize("kind", OTHER_IMAGES)
def test_images_are_checked(segmenter: Segmenter, kind: str) -> None:
    for ask in (segmenter, lambda images, mpp: segment(images, mpp, backend=segmenter)):
        with pytest.raises(InputError, match=r"expected.* uint8 RGB") as caught:
            ask(OTHER_IMAGES[kind], 0.5)
        assert "\n" not in str(caught.value)


def test_what_a_notebook_holds_is_taken() -> None:
    tile = drawn_tile(FOUR, radius=3.5)
    wanted = segment(tile[None], 0.5, backend="classical")
    for images in (tile, [tile], tile[None].astype(np.int64), tile[None].tolist(), Image.fromarray(tile)):
        np.testing.assert_array_equal(segment(images, 0.5, backend="classical"), wanted)


def test_a_segmenter_itself_takes_arrays_alone(segmenter: Segmenter) -> None:
    tile = drawn_tile(FOUR, radius=3.5)
    for images in (tile, [tile], tile[None].astype(np.uint16)):
        with pytest.raises(InputError, match=r"expected.* uint8 RGB"):
            segmenter(images, 0.5)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown segmenter 'clasical'; did you mean classical"):
        get_segmenter("clasical")
    with pytest.raises(InputError, match=r"files: torchscript:\.\.\., weights:\.\.\.$"):
        get_segmenter("onnx:model.onnx")


class Nothing:
    """A segmenter as a contributor writes it, in one class: it finds nothing."""

    name, weights_hash = "nothing", "0" * 16

    def __call__(self, images: np.ndarray, mpp: float) -> np.ndarray:
        return np.zeros(images.shape[:3], np.int32)


def test_a_new_segmenter_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep_as_is(SEGMENTERS, monkeypatch)
    register_segmenter("nothing", Nothing)
    assert "nothing" in segmenter_names()
    assert not segment(drawn_tile(FOUR, radius=3.5)[None], 0.5, backend="nothing").any()
    tiles, out = phantom_tileset(tmp_path / "tiles"), tmp_path / "new"
    assert main(["segment", str(tiles.path), "--backend=nothing", "--replace", "--out", str(out)]) == 0
    assert not np.asarray(TileSet.open(out).masks).any()


def test_the_cache_forgets_a_segmenter_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_as_is(SEGMENTERS, monkeypatch)
    register_segmenter("nothing", Nothing)
    first = get_segmenter("nothing")
    assert get_segmenter("nothing") is first
    register_segmenter("nothing", Nothing)
    assert get_segmenter("nothing") is not first


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_classical_finds_each_disc_at_any_scale(mpp: float) -> None:
    tile = drawn_tile(FOUR, radius=3.5, size=round(32 / mpp), mpp=mpp)
    found = segment(tile[None], mpp, backend="classical")
    assert found.max() == 4
    area = np.bincount(found.ravel())[1:] * mpp**2
    assert area == pytest.approx(np.full(4, np.pi * 3.5**2), rel=0.15)


def test_classical_separates_touching_discs_by_distance_in_um() -> None:
    touching = [(16.0, 12.7), (16.0, 19.3)]
    assert ClassicalSegmenter()(drawn_tile(touching, radius=3.6)[None], 0.5).max() == 2
    assert ClassicalSegmenter(spacing=9.0)(drawn_tile(touching, radius=3.6)[None], 0.5).max() == 1


def test_classical_drops_what_is_too_small_in_um2() -> None:
    tile = drawn_tile([(16.0, 16.0)], radius=2.5)[None]  # 20 µm² at 0.5 µm/px
    assert ClassicalSegmenter()(tile, 0.5).max() == 1
    assert ClassicalSegmenter()(tile, 0.2).max() == 0  # the same pixels, now 3 µm²


def test_classical_fills_pale_nuclei() -> None:
    ring = drawn_tile([(16.0, 16.0)], radius=6.0)
    core = drawn_tile([(16.0, 16.0)], radius=2.0) != drawn_tile([], radius=1)
    ring[core.any(-1)] = PINK
    found = ClassicalSegmenter()(ring[None], 0.5)[0] > 0
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
    scores = mask_agreement(segment(images, 0.25, backend="classical"), true)
    assert scores["iou"] is not None
    assert scores["iou"] > 0.4
    assert scores["iou"] > 3 * (scores["chance"]["iou"] or 0)
