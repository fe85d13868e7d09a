"""Images, masks, labels and plain arguments as a notebook holds them: taken, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleosynth.arguments import as_choice, as_int, as_names, as_number, as_path, as_text
from nucleosynth.data.arrays import as_images, as_instances, as_masks, as_mpp, checked_masks
from nucleosynth.data.conditions import as_indices, as_labels, as_stain
from nucleosynth.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 4, 5, 3), np.uint8)
MASKS = RNG.integers(0, 900, (2, 4, 5), np.uint16)
CLASSES = ["benign", "atypical"]


@pytest.mark.parametrize(
    "given",
    [
        IMAGES,
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16),
        IMAGES.tolist(),
        list(IMAGES),
        [Image.fromarray(one) for one in IMAGES],
        tuple(Image.fromarray(one) for one in IMAGES),
    ],
    ids=lambda given: type(given).__name__,
)
def test_images_are_taken(given):
    taken = as_images(given, count=2, size=(4, 5))
    assert taken.dtype == np.uint8
    np.testing.assert_array_equal(taken, IMAGES)


def test_one_image_is_a_set_of_one_and_an_array_is_not_copied():
    for one in (IMAGES[0], Image.fromarray(IMAGES[0])):
        np.testing.assert_array_equal(as_images(one), IMAGES[:1])
    assert as_images(IMAGES) is IMAGES
    grey = Image.fromarray(IMAGES[0, ..., 0])
    assert as_images(grey).shape == (1, 4, 5, 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (IMAGES / 255, r"float64.*\(255 \* images\)\.round\(\)"),
        (np.full((1, 4, 4, 3), np.nan), "float64"),
        (np.zeros((2, 4, 5, 4), np.uint8), r"give images\[\.\.\., :3\]"),
        (np.zeros((2, 4, 5), np.uint8), "expected uint8 RGB"),
        (IMAGES.astype(int) + 1000, "expected values from 0 to 255"),
        (IMAGES.astype(int) - 300, "expected values from 0 to 255"),
        (IMAGES > 3, "bool"),
        ([IMAGES[0], IMAGES[1, :2]], "different sizes"),
        ([Image.fromarray(IMAGES[0]), Image.fromarray(IMAGES[0, :2])], "different sizes"),
        ("tile.png", "'tile.png'"),
        (None, "None"),
        ({}, "a dict"),
        (object(), "an object"),
        (["a", "b"], "a list"),
        (3, "int64"),
    ],
)
def test_other_images_are_refused(given, words):
    with pytest.raises(InputError, match=words) as caught:
        as_images(given)
    assert "\n" not in str(caught.value)


def test_images_of_another_number_or_size_are_refused():
    with pytest.raises(InputError, match="images: 2 for 3 tiles"):
        as_images(IMAGES, count=3)
    with pytest.raises(InputError, match=r"origins are \(4, 5\) px; expected \(8, 8\)"):
        as_images(IMAGES, name="origins", size=(8, 8))


@pytest.mark.parametrize(
    "kind", ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
)
def test_masks_of_every_whole_number_type_are_taken(kind):
    masks = (MASKS % 100).astype(kind)
    assert as_masks(masks) is masks
    np.testing.assert_array_equal(as_instances(masks.tolist()), masks.astype(np.int32))


def test_masks_are_taken_from_pictures():
    for pictures in ([Image.fromarray(one) for one in MASKS], list(MASKS)):
        np.testing.assert_array_equal(as_masks(pictures), MASKS)
    binary = Image.fromarray(MASKS[0] > 400)
    np.testing.assert_array_equal(as_masks(binary), (MASKS > 400)[:1])
    with pytest.raises(InputError, match=r"expected \(n, h, w\)"):
        checked_masks(MASKS[0])


def test_large_labels_stay_apart():
    large = MASKS.astype(np.uint64) * 2**40
    _, wanted = np.unique(large, return_inverse=True)
    np.testing.assert_array_equal(
        as_instances(large), wanted.reshape(MASKS.shape) + (0 if (MASKS == 0).any() else 1)
    )
    assert as_instances(np.full((1, 2, 2), 2**62)).max() == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (MASKS / 2, "cut probabilities at a threshold"),
        (-MASKS.astype(int) - 1, "hold the label -"),
        (IMAGES, r"expected \(n, h, w\)"),
        (None, "None"),
        ("masks.npy", "'masks.npy'"),
        ([[["a"]]], "expected label images"),
        ([[[2**70]]], "expected label images"),
    ],
)
def test_other_masks_are_refused(given, words):
    with pytest.raises(InputError, match=words) as caught:
        as_masks(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["benign", "atypical", None, -1], [0, 1, -1, -1]),
        ([0, 1], [0, 1]),
        (np.array([1, 0]), [1, 0]),
        (np.array(["atypical"]), [1]),
        ((1, "benign"), [1, 0]),
        (np.uint8([1]), [1]),
    ],
)
def test_labels_are_indices_or_names(given, wanted):
    assert as_labels(given, CLASSES) == wanted


def test_one_label_stands_for_all():
    assert as_labels("atypical", CLASSES, count=3) == [1, 1, 1]
    assert as_labels(None, CLASSES, count=2) == [-1, -1]
    assert as_labels(np.int64(1), CLASSES) == [1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["atypcal"], "unknown class 'atypcal'; did you mean atypical[?] known are benign, atypical"),
        ([2], r"label 2 is outside the classes \(benign, atypical\)"),
        ([-2], "label -2"),
        ([0.0], "expected a whole number"),
        ([True], "expected a whole number"),
        ([float("nan")], "expected a whole number"),
        ({}, "a dict"),
        (object(), "an object"),
        ([[0, 1]], "expected one class per tile"),
        ([[0], [0, 1]], "expected one class per tile"),
        (b"benign", "expected a whole number"),
    ],
)
def test_other_labels_are_refused(given, words):
    with pytest.raises(InputError, match=words) as caught:
        as_labels(given, CLASSES)
    assert "\n" not in str(caught.value)


def test_as_many_labels_as_tiles():
    with pytest.raises(InputError, match="labels: 2 for 3 tiles; give one each"):
        as_labels([0, 1], CLASSES, count=3)


def test_stains_and_indices():
    assert as_stain([1, 2, 3, 4, 5, 6], 3).shape == (3, 6)
    assert as_stain(np.zeros((2, 6)), 2).dtype == np.float32
    assert as_indices(range(3), count=3) == [0, 1, 2]
    for wrong in ([1, 2], np.zeros((3, 6)), [np.nan] * 6, "purple", None, ["a"] * 6, {}):
        with pytest.raises(InputError, match="stain"):
            as_stain(wrong, 2)
    for wrong in ([-1], [0.5], "01", 3, None, {0: 1}, [[0]], [2**70]):
        with pytest.raises(InputError, match="indices"):
            as_indices(wrong)


def test_scales():
    assert as_mpp(np.float32(0.5)) == 0.5
    assert as_mpp(1) == 1.0
    assert as_mpp(None, otherwise=0.25) == 0.25
    for wrong in (None, 0, -1, np.nan, np.inf, "0.5", [0.5], True, np.array([0.5]), object()):
        with pytest.raises(InputError, match="µm/px"):
            as_mpp(wrong)


def test_plain_arguments():
    assert as_int(np.int16(3), "n") == 3
    assert as_number(np.float32(0.5), "n") == 0.5
    assert as_path("~/tiles", "path") == Path.home() / "tiles"
    assert as_path(Path("a"), "path") == Path("a")
    assert as_names(np.array(["a", "b"]), "patients", such_as="p1") == ["a", "b"]
    assert as_names("a", "patients", such_as="p1") == ["a"]
    calls = [
        lambda: as_int(True, "n"),
        lambda: as_int(1.0, "n"),
        lambda: as_int(3, "n", least=4),
        lambda: as_number(float("inf"), "n"),
        lambda: as_number(5, "n", least=0, most=1),
        lambda: as_number("5", "n"),
        lambda: as_text("", "name", such_as="a"),
        lambda: as_choice("c", "name", ["a", "b"]),
        lambda: as_choice(["a"], "name", ["a", "b"]),
        lambda: as_path(3, "path"),
        lambda: as_path("", "path"),
        lambda: as_path(b"a", "path"),
        lambda: as_path("a\0b", "path"),
        lambda: as_names([], "patients", such_as="p1"),
        lambda: as_names([1], "patients", such_as="p1"),
        lambda: as_names({"a": 1}, "patients", such_as="p1"),
        lambda: as_names(3, "patients", such_as="p1"),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"expected|give at least") as caught:
            call()
        assert "\n" not in str(caught.value)
