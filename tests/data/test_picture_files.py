"""Images and masks as files: what is written is what is read, and nothing is written over."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleosynth.data.picture_files import save_grid, save_images, save_masks
from nucleosynth.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 16, 20, 3), np.uint8)
MASKS = RNG.integers(0, 2**16, (3, 16, 20)).astype(np.int64)


def test_images_in_a_folder(tmp_path):
    out = save_images(IMAGES, tmp_path / "images")
    assert sorted(path.name for path in out.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    for number, image in enumerate(IMAGES):
        np.testing.assert_array_equal(np.asarray(Image.open(out / f"{number:04}.png")), image)


def test_one_image_in_a_file(tmp_path):
    for one in (IMAGES[0], IMAGES[:1]):
        path = save_images(one, str(tmp_path / "one.PNG"), overwrite=True)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), IMAGES[0])


@pytest.mark.parametrize(("kind", "suffix"), [("tiff", ".tif"), ("png", ".png")])
def test_masks_in_a_folder(tmp_path, kind, suffix):
    out = save_masks(MASKS, tmp_path / "masks", format=kind)
    for number, mask in enumerate(MASKS):
        path = out / f"{number:04}{suffix}"
        read = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(read, mask)


def test_one_mask_in_a_file(tmp_path):
    for name in ("one.tif", "one.tiff", "one.png"):
        save_masks(MASKS[0] > 9, tmp_path / name)
    assert tifffile.imread(tmp_path / "one.tif").dtype == np.uint16
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "one.tiff"), MASKS[0] > 9)


def test_a_grid_is_one_picture(tmp_path):
    path = save_grid(IMAGES, tmp_path / "grid.png", columns=2, scale=3)
    assert Image.open(path).size == (2 * 60 + 2, 2 * 48 + 2)
    outlined = save_grid(IMAGES, tmp_path / "outlined.png", masks=MASKS % 3, columns=2, scale=3)
    assert np.asarray(Image.open(outlined)).shape == np.asarray(Image.open(path)).shape
    assert (np.asarray(Image.open(outlined)) != np.asarray(Image.open(path))).any()


def test_nothing_is_written_over(tmp_path):
    save_images(IMAGES, tmp_path / "images")
    save_grid(IMAGES, tmp_path / "grid.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").write_text("years of work")
    calls = [
        (lambda **k: save_images(IMAGES[:1], tmp_path / "images", **k), "folder that holds files"),
        (lambda **k: save_grid(IMAGES[:1], tmp_path / "grid.png", **k), "already exists"),
    ]
    for call, words in calls:
        with pytest.raises(InputError, match=f"{words}; choose a new name, or overwrite=True"):
            call()
        call(overwrite=True)
    assert len(list((tmp_path / "images").iterdir())) == 1
    with pytest.raises(InputError, match="other things than images; choose a new name"):
        save_images(IMAGES, tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "thesis.docx").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: save_images(IMAGES, p / "a.png"), "one file for 3 images; give a folder"),
        (lambda p: save_images(IMAGES[:1], p / "a.jpg"), "written as .png"),
        (lambda p: save_images(IMAGES[:0], p / "a"), "images are empty"),
        (lambda p: save_masks(MASKS + 2**16, p / "a"), "labels up to 65535"),
        (lambda p: save_masks(MASKS[:1], p / "a.npy"), "written as .png, .tif, .tiff"),
        (lambda p: save_masks(MASKS, p / "a", format="jpeg"), "expected one of tiff, png"),
        (lambda p: save_grid(IMAGES, p / "a"), "a grid is one picture"),
        (lambda p: save_grid(IMAGES, p / "a.png", masks=MASKS[:2]), "masks: 2 for 3 tiles"),
        (lambda p: save_grid(IMAGES[:0], p / "a.png"), "images are empty"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path, call, words):
    with pytest.raises(InputError, match=words) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
