"""Training crops: a function of the step, and pictures that still fit their depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.nuclei.drawn import disc_labels, painted, scattered, write_pictures

from nucleosynth.segmentation.learned.annotated import Picture, read_pictures
from nucleosynth.segmentation.learned.config import AnnotatedConfig, AugmentationConfig
from nucleosynth.segmentation.learned.crops import TrainingCrops

PLAIN = AugmentationConfig(scale=(1, 1), stain=0, shift=0, colour=0, blur=0, noise=0, blank=0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Picture]:
    root = tmp_path_factory.mktemp("drawn")
    labels = {
        name: disc_labels(scattered(i, count=30, side=48), radius=3.5, size=96) for i, name in enumerate("ab")
    }
    write_pictures(root, labels)
    return read_pictures(AnnotatedConfig(name="drawn", images="images", masks="masks", mpp=0.5), root)


def crops(pictures, how=None, **changes) -> TrainingCrops:
    settings = {"size": 48, "batch": 4, "seed": 0, **changes}
    return TrainingCrops([pictures], [1.0], how or AugmentationConfig(), **settings)


def test_a_batch_is_a_function_of_seed_and_step(pictures):
    one, two = crops(pictures), crops(pictures)
    one.draw(3)
    for here, there in zip(one.draw(7), two.draw(7), strict=True):
        assert torch.equal(here, there)
    assert not torch.equal(one.draw(7)[0], one.draw(8)[0])
    assert not torch.equal(one.draw(7)[0], crops(pictures, seed=1).draw(7)[0])


def test_shapes_and_ranges(pictures):
    pixels, depth = crops(pictures).draw(0)
    assert pixels.shape == (4, 3, 48, 48)
    assert depth.shape == (4, 2, 48, 48)
    assert -1 <= float(pixels.min()) < float(pixels.max()) <= 1
    assert 0 <= float(depth[:, 0].min()) < float(depth[:, 0].max()) <= 1
    assert torch.equal(depth[:, 0] > 0, depth[:, 1] > 0)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.4])
def test_depth_lies_where_the_nuclei_are_drawn(pictures, scale):
    how = PLAIN.model_copy(update={"scale": (scale, scale)})
    pixels, depth = crops(pictures, how, size=32).draw(0)
    violet = pixels[:, 1] < 0.0
    inside = depth[:, 0] > 0
    assert float((violet == inside).float().mean()) > 0.97


def test_depth_is_in_px_of_the_crop(pictures):
    deepest = []
    for scale in (0.5, 1.0):
        how = PLAIN.model_copy(update={"scale": (scale, scale)})
        deepest.append(float(crops(pictures, how, size=32, batch=16).draw(0)[1][:, 1].max()))
    assert deepest[0] == pytest.approx(2 * deepest[1], rel=0.25)
    assert deepest[1] == pytest.approx(7, rel=0.25)  # discs of 3.5 µm at 0.5 µm/px


def test_stains_vary_far(pictures):
    pixels, _ = crops(pictures, AugmentationConfig(blank=0), batch=32).draw(0)
    assert float(pixels.mean((2, 3)).std(0).min()) > 0.1


def test_a_blank_patch_holds_no_nuclei(pictures):
    pixels, depth = crops(pictures, PLAIN.model_copy(update={"blank": 1.0}), batch=16).draw(0)
    plain, full = crops(pictures, PLAIN, batch=16).draw(0)
    covered = (pixels != plain).any(1)
    assert covered.any()
    assert not depth[:, 0][covered].any()
    assert torch.equal(depth[:, 0][~covered], full[:, 0][~covered])


def test_small_pictures_are_mirrored_to_size():
    labels = disc_labels([(5, 5)], radius=3, size=20)
    small = Picture(
        "small", painted(labels), labels, 0.5, (labels * 255).astype(np.uint8), labels.astype(np.uint8)
    )
    pixels, depth = crops([small], size=64).draw(0)
    assert pixels.shape[-1] == depth.shape[-1] == 64
