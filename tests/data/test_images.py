from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleosynth.data.images import read_image, read_mask, read_pair
from nucleosynth.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def _tiff(**options: object) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, PIXELS, photometric="rgb", **options)


LOSSLESS: dict[str, Callable[[Path], object]] = {
    "a.png": lambda path: Image.fromarray(PIXELS).save(path),
    "a.webp": lambda path: Image.fromarray(PIXELS).save(path, lossless=True),
    "a.bmp": lambda path: Image.fromarray(PIXELS).save(path),
    "plain.tif": _tiff(),
    "lzw.tiff": _tiff(compression="lzw"),
    "tiled.tif": _tiff(compression="zlib", tile=(16, 16)),
    "big.tif": _tiff(bigtiff=True),
    "planar.tif": lambda path: tifffile.imwrite(
        path, np.moveaxis(PIXELS, -1, 0), photometric="rgb", planarconfig="separate"
    ),
    "wrong-suffix.png": _tiff(),
}


def message(fn: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        fn()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_pixels_back(tmp_path: Path, name: str) -> None:
    LOSSLESS[name](tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, PIXELS)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_alpha_is_dropped_not_blended(tmp_path: Path, name: str) -> None:
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 7, np.uint8)])
    if name.endswith("tif"):
        tifffile.imwrite(tmp_path / name, rgba, photometric="rgb", extrasamples=["unassalpha"])
    else:
        Image.fromarray(rgba).save(tmp_path / name, lossless=True, exact=True)
    np.testing.assert_array_equal(read_image(tmp_path / name), PIXELS)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", quality=90)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), np.asarray(Image.open(tmp_path / "a.jpg")))


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "lzw"}, {"compression": "zlib"}, {"compression": "jpeg"}],
    ids=["plain", "lzw", "zlib", "jpeg"],
)
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.98])
def test_truncated_tiff_is_refused(tmp_path: Path, options: dict[str, object], kept: float) -> None:
    path = tmp_path / "cut.tif"
    _tiff(**options)(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert "cut.tif" in message(lambda: read_image(path))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_truncated_pictures_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be decoded" in message(lambda: read_image(path))


BAD_IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.png": (lambda path: None, "no such file"),
    "empty.png": (lambda path: path.write_bytes(b""), "cannot be decoded"),
    "text.tif": (lambda path: path.write_text("not found"), "cannot be decoded"),
    "gray.png": (lambda path: Image.fromarray(PIXELS[..., 0]).save(path), "grayscale"),
    "gray.jpg": (lambda path: Image.fromarray(PIXELS[..., 0]).save(path), "grayscale"),
    "gray.tif": (lambda path: tifffile.imwrite(path, PIXELS[..., 0]), "grayscale"),
    "deep.png": (lambda path: path.write_bytes(imagecodecs.png_encode(PIXELS.astype(np.uint16))), "uint16"),
    "deep.tif": (lambda path: tifffile.imwrite(path, PIXELS.astype(np.uint16), photometric="rgb"), "uint16"),
    "float.tif": (
        lambda path: tifffile.imwrite(path, PIXELS / np.float32(255), photometric="rgb"),
        "float32",
    ),
    "print.jpg": (lambda path: Image.fromarray(PIXELS).convert("CMYK").save(path), "CMYK"),
    "fax.tif": (
        lambda path: Image.fromarray(PIXELS[..., 0] > 99).save(path, compression="group4"),
        "TIFF compression 4 is not read",
    ),
    "palette.tif": (lambda path: Image.fromarray(PIXELS).quantize(8).save(path), "PALETTE"),
    "folder.png": (lambda path: path.mkdir(), "cannot be decoded"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_what_is_no_rgb_frame_is_refused(tmp_path: Path, name: str) -> None:
    make, expected = BAD_IMAGES[name]
    make(tmp_path / name)
    text = message(lambda: read_image(tmp_path / name))
    assert expected in text
    assert name in text


@pytest.mark.parametrize("name", ["plain.png", "a.bmp", "plain.tif"])
def test_a_slide_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    _tiff()(path) if name.endswith("tif") else Image.fromarray(PIXELS).save(path)
    monkeypatch.setattr("nucleosynth.data.pillow.MAX_PIXELS", 40 * 50)
    assert read_image(path).shape == (40, 50, 3)
    monkeypatch.setattr("nucleosynth.data.pillow.MAX_PIXELS", 40 * 50 - 1)
    assert "50 x 40 px, too large for a frame" in message(lambda: read_image(path))


LABELS = np.zeros((40, 50), np.int32)
LABELS[2:10, 3:12] = 1
LABELS[20:30, 3:12] = 300


@pytest.mark.parametrize("name", ["a.png", "a.tif", "wide.tif", "a.npy", "zlib.tif"])
def test_instance_labels_come_back_as_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, LABELS)
    elif name == "a.png":
        Image.fromarray(LABELS.astype(np.uint16)).save(path)
    else:
        tifffile.imwrite(
            path, LABELS.astype(np.uint32 if name == "wide.tif" else np.uint16), compression="zlib"
        )
    labels = read_mask(path, kind="instances")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, LABELS)


def test_palette_masks_give_indices_not_colours(tmp_path: Path) -> None:
    picture = Image.fromarray((LABELS > 0).astype(np.uint8) * 3).convert("P")
    picture.putpalette([7, 7, 7] * 256)
    picture.save(tmp_path / "a.png")
    assert set(np.unique(read_mask(tmp_path / "a.png", kind="instances"))) == {0, 3}


@pytest.mark.parametrize("value", [1, 255])
def test_binary_components_are_4_connected_and_more_than_10_px(tmp_path: Path, value: int) -> None:
    binary = np.zeros((20, 20), np.uint8)
    binary[0:3, 0:4] = value  # 12 px
    binary[3:7, 4:8] = value  # touches the first by its corner alone
    binary[10:12, 10:15] = value  # 10 px: a speck
    binary[15, 2:13] = value  # 11 px
    Image.fromarray(binary).save(tmp_path / "a.png")
    labels = read_mask(tmp_path / "a.png", kind="binary")
    assert np.bincount(labels.ravel()).tolist() == [400 - 12 - 16 - 11, 12, 16, 11]


def test_bits_are_a_binary_mask(tmp_path: Path) -> None:
    Image.fromarray(LABELS > 0).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", kind="binary").max() == 2


BAD_MASKS: dict[str, tuple[np.ndarray, str]] = {
    "rgb": (PIXELS, "RGB?"),
    "float": (LABELS / np.float32(3), "whole numbers"),
    "negative": (LABELS - 1, "below 0"),
    "binary-as-instances": ((LABELS > 0).astype(np.uint8) * 255, "mask_kind: binary"),
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_what_is_no_label_image_is_refused(tmp_path: Path, name: str) -> None:
    array, expected = BAD_MASKS[name]
    np.save(tmp_path / f"{name}.npy", array)
    text = message(lambda: read_mask(tmp_path / f"{name}.npy", kind="instances"))
    assert expected in text
    assert f"{name}.npy" in text


def test_instances_given_as_binary_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    assert "mask_kind: instances" in message(lambda: read_mask(tmp_path / "a.npy", kind="binary"))


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    np.save(tmp_path / "m.npy", LABELS[:, :30])
    text = message(lambda: read_pair(tmp_path / "a.png", tmp_path / "m.npy"))
    assert "30 x 40" in text
    assert "50 x 40" in text


def test_pickled_arrays_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be decoded" in message(lambda: read_mask(tmp_path / "m.npy", kind="instances"))
