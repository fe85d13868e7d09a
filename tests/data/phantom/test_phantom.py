"""Laws of the phantom tissue."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from nucleosynth.data.contours import rasterise
from nucleosynth.data.phantom.nuclei import BENIGN_RADIUS, Nuclei, spread_out
from nucleosynth.data.phantom.random_fields import Waves
from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_grade, phantom_tiles
from nucleosynth.data.stain import concentrations, stain_descriptor, tissue_fraction
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng


def circle(x: float, y: float, radius: float) -> Nuclei:
    x, y, radius, aspect, angle, density, none = np.array(
        [[x], [y], [radius], [1], [0.3], [0.4], [0]], np.float32
    )
    return Nuclei(
        x=x,
        y=y,
        radius=radius,
        aspect=aspect,
        angle=angle,
        contour=np.zeros((1, 5), np.complex64),
        density=density,
        clearing=none,
        coarseness=none,
        nucleoli=np.zeros((1, 3, 3), np.float32),
    )


def both(a: Nuclei, b: Nuclei) -> Nuclei:
    return Nuclei(*(np.concatenate([getattr(a, n), getattr(b, n)]) for n in (f.name for f in fields(Nuclei))))


def test_a_tile_does_not_depend_on_how_many_are_made():
    few = list(phantom_tiles(PhantomConfig(patients=5, tiles=3), size=32, mpp=0.5))
    many = list(phantom_tiles(PhantomConfig(patients=5, tiles=12), size=32, mpp=0.5))
    assert len(many) == 12
    for a, b in zip(few, many, strict=False):
        assert (a.image == b.image).all()
        assert (a.mask == b.mask).all()
        assert (a.tile_id, a.label, a.extra) == (b.tile_id, b.label, b.extra)


def test_seeds_and_tiles_differ():
    first, second = phantom_tiles(PhantomConfig(patients=1, tiles=2), size=32, mpp=0.5)
    (other,) = phantom_tiles(PhantomConfig(patients=1, tiles=1, seed=1), size=32, mpp=0.5)
    assert (first.image != second.image).any()
    assert (first.image != other.image).any()


@pytest.mark.parametrize(
    ("size", "mpp"), [(32, 0.5), (32, 1.0), (32, 2.0), (64, 0.25), (64, 0.5), (128, 0.5)]
)
def test_every_tile_has_tissue_and_contiguous_instances(size, mpp):
    for tile in phantom_tiles(PhantomConfig(tiles=12, patients=6), size=size, mpp=mpp):
        assert tile.image.shape == (size, size, 3)
        assert tile.image.dtype == np.uint8
        assert tile.mask.dtype == np.uint16
        areas = np.bincount(tile.mask.ravel())[1:]
        assert len(areas) >= 1
        assert areas.min() >= 4
        assert tissue_fraction(tile.image) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("size", "mpp"), [(32, 0.5), (64, 0.5), (128, 1.0)])
def test_every_tile_has_a_nucleus_to_grade_near_its_centre(size, mpp):
    reach = int(np.ceil(4 / mpp)) + 1
    near = slice(size // 2 - reach, size // 2 + reach)
    for tile in phantom_tiles(PhantomConfig(tiles=40, patients=8, gaps=1.0), size=size, mpp=mpp):
        assert tile.mask[near, near].any()


def test_several_nuclei_are_seen_at_the_smallest_size():
    tiles = phantom_tiles(PhantomConfig(tiles=60, patients=6), size=32, mpp=0.75)
    assert np.median([tile.mask.max() for tile in tiles]) >= 3


def test_masks_mark_the_haematoxylin():
    inside, outside = [], []
    for tile in phantom_tiles(PhantomConfig(tiles=24, patients=12), size=64, mpp=0.5):
        h = concentrations(tile.image)[..., 0]
        inside.append(h[tile.mask > 0].mean())
        outside.append(h[tile.mask == 0].mean())
    assert (np.array(inside) > 1.2 * np.array(outside)).all()


@pytest.mark.slow
def test_size_on_the_slide_is_the_same_at_every_magnification():
    def widest(size: int, mpp: float) -> float:
        tiles = phantom_tiles(PhantomConfig(tiles=30, patients=6), size=size, mpp=mpp)
        areas = [np.bincount(tile.mask.ravel())[1:].max() * mpp**2 for tile in tiles]
        return float(2 * np.sqrt(np.median(areas) / np.pi))

    assert widest(128, 0.25) == pytest.approx(widest(32, 1.0), rel=0.1)  # µm; both tiles are 32 µm wide


@pytest.mark.slow
def test_nuclei_grow_with_the_grade():
    diameters: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for tile in phantom_tiles(PhantomConfig(tiles=150, label_noise=0), size=64, mpp=0.5):
        covers = np.bincount(tile.mask[22:42, 22:42].ravel(), minlength=2)
        if covers[1:].any():  # the nucleus in the middle, whole: the border cuts none of it off
            area = (tile.mask == covers[1:].argmax() + 1).sum() * 0.25
            diameters[tile.label].append(2 * np.sqrt(area / np.pi))
    ratios = [np.median(diameters[grade]) / (2 * BENIGN_RADIUS) for grade in range(3)]
    assert ratios[0] < 1.5 < ratios[1] < 2.0 < ratios[2]


def test_without_rater_noise_the_grade_is_the_definition():
    config = PhantomConfig(label_noise=0)
    grades = [phantom_grade(config, i) for i in range(600)]
    assert all(g.label == min(int(g.atypia), 2) for g in grades)
    assert np.mean([g.label == np.digitize(g.size_ratio, [1.5, 2.0]) for g in grades]) > 0.85
    means = [np.mean([g.size_ratio for g in grades if g.label == label]) for label in range(3)]
    assert means[0] < 1.5 < means[1] < 2.0 < means[2]


def test_the_best_possible_classifier_is_right_on_80_to_90_percent():
    # Given the atypia, the rater's error is symmetric: no guess beats the atypia's own grade.
    config = PhantomConfig()
    grades = [phantom_grade(config, i) for i in range(4000)]
    labels = np.array([g.label for g in grades])
    oracle = np.array([min(int(g.atypia), 2) for g in grades])
    assert 0.80 <= (oracle == labels).mean() <= 0.90
    assert np.bincount(labels).max() / len(labels) < 0.5  # so that 0.85 is worth something
    assert (np.abs(oracle - labels) <= 1).mean() > 0.99  # raters err by one grade


def test_patients_mix_the_grades_with_tendencies_of_their_own():
    config = PhantomConfig(patients=24)
    counts = np.zeros((24, len(CLASSES)))
    for i in range(2400):
        counts[i % 24, phantom_grade(config, i).label] += 1
    assert ((counts > 0).all(axis=1)).mean() > 0.8
    assert (counts[:, 2] / 100).std() > 0.15


def test_patients_differ_in_stain_and_a_patient_does_not():
    tiles = list(phantom_tiles(PhantomConfig(patients=4, tiles=48), size=64, mpp=0.5))
    images = np.stack([tile.image for tile in tiles])
    halves = np.array(  # (patients, 2, 6)
        [[stain_descriptor(images[first::8]) for first in (number, number + 4)] for number in range(4)]
    )
    within = np.abs(halves[:, 0] - halves[:, 1]).mean()
    between = np.abs(halves[:, None, 0] - halves[None, :, 0]).sum() / (4 * 3 * 6)
    assert between > 2 * within


def test_identity_names_the_patient():
    tiles = list(phantom_tiles(PhantomConfig(patients=3, tiles=7), size=32, mpp=0.5))
    assert [tile.patient_id for tile in tiles[:4]] == [
        "phantom:p00",
        "phantom:p01",
        "phantom:p02",
        "phantom:p00",
    ]
    assert len({tile.tile_id for tile in tiles}) == 7
    assert all(tile.slide_id == tile.patient_id and tile.mpp == 0.5 for tile in tiles)


@pytest.mark.parametrize(("size", "mpp", "name"), [(8, 0.5, "size"), (64, 5.0, "mpp")])
def test_bad_requests_are_refused_before_the_first_tile(size, mpp, name):
    with pytest.raises(InputError, match=name):
        phantom_tiles(PhantomConfig(), size=size, mpp=mpp)


def test_configuration_is_bounded():
    with pytest.raises(InputError, match="PhantomConfig: `patients`"):
        PhantomConfig(patients=0)


def test_a_circle_has_its_area():
    mask, pixels = rasterise(circle(16, 16, 10), size=64, mpp=0.5)
    assert mask.max() == 1
    assert (mask > 0).sum() * 0.25 == pytest.approx(np.pi * 100, rel=0.02)
    assert pixels.depth.max() == pytest.approx(10, abs=0.5)


def test_two_that_meet_share_no_pixel_and_part_in_the_middle():
    mask, _ = rasterise(both(circle(12, 16, 6), circle(20, 16, 6)), size=64, mpp=0.5)
    assert set(np.unique(mask)) == {0, 1, 2}
    assert not (mask[:, 32:] == 1).any()
    assert not (mask[:, :32] == 2).any()


def test_a_nucleus_outside_or_of_a_sliver_takes_no_number():
    mask, pixels = rasterise(both(circle(-30, 5, 4), circle(16, 16, 4)), size=64, mpp=0.5)
    assert set(np.unique(mask)) == {0, 1}
    assert len(pixels.nuclei) == 1


def test_centres_keep_their_distance():
    draw = np.random.default_rng(0)
    x, y = draw.uniform(0, 60, (2, 300)).astype(np.float32)
    radius = draw.uniform(2, 4, 300).astype(np.float32)
    keep = spread_out(x, y, radius, spacing=1.0)
    x, y, radius = x[keep], y[keep], radius[keep]
    gap = np.hypot(x[:, None] - x, y[:, None] - y) - (radius[:, None] + radius)
    np.fill_diagonal(gap, 1)
    assert keep.sum() > 30
    assert gap.min() >= -1e-4


def test_waves_agree_on_points_and_grid():
    waves = Waves.draw(rng(0, "test"), (20, 60))
    axis = np.arange(40, dtype=np.float32) * 0.5
    x, y = np.meshgrid(axis, axis)
    assert np.allclose(waves.grid(axis), waves.at(x, y), atol=5e-3)
