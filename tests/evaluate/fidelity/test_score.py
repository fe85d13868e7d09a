"""Fidelity: its references, equal n, clusters by donor, and what it says when tiles or patients are few."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.score import fidelity, kid, patient_halves


class MeanColour:
    """A small extractor: mean and standard deviation of each channel."""

    name = "mean-colour"
    weights_hash = "0" * 16

    def __call__(self, images: np.ndarray) -> np.ndarray:
        scaled = images.astype(np.float32) / 64
        return np.concatenate([scaled.mean((1, 2)), scaled.std((1, 2))], axis=1)


def coloured(
    patients: int, tiles: int, *, seed: int, shift: float = 0.0, prefix: str = "p"
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    own = generator.normal(120 + shift, 12, size=(patients, 1, 1, 1, 3)).repeat(tiles, 1)
    pixels = own + generator.normal(0, 25, size=(patients, tiles, 8, 8, 3))
    images = pixels.reshape(-1, 8, 8, 3).clip(0, 255).astype(np.uint8)
    return images, np.repeat([f"{prefix}{i:02d}" for i in range(patients)], tiles)


def test_tiles_from_far_away_are_above_the_references_and_near_ones_are_not() -> None:
    real, held_out = coloured(20, 12, seed=0), coloured(20, 12, seed=1, prefix="q")
    near = fidelity(real, real, held_out=held_out, extractor=MeanColour())
    far_tiles = (coloured(20, 12, seed=2, shift=40)[0], real[1])
    far = fidelity(real, far_tiles, held_out=held_out, extractor=MeanColour())
    assert near["kid"] < near["real_reference"]["within"]
    assert near["real_reference"] == far["real_reference"]
    assert far["kid"] > 10 * max(far["real_reference"]["within"], far["real_reference"]["between"])
    assert far["kid_interval"][0] < far["kid"] < far["kid_interval"][1]
    for name in ("cmmd", "fid", "fid_extrapolated"):
        assert far[name] > near[name]
        assert far[name] > 2 * max(far["real_reference"][name].values())
    assert far["at_reference_size"]["n"] == far["real_reference"]["n"] == 120
    assert near["at_reference_size"]["fid"] < near["real_reference"]["fid"]["within"]
    assert (far["extractor"], far["weights_hash"]) == ("mean-colour", "0" * 16)
    for name in ("precision", "recall", "density", "coverage"):
        assert near["neighbours"][name]["real"] == far["neighbours"][name]["real"]
        assert near["neighbours"][name]["of_real"] >= 1 > far["neighbours"][name]["of_real"]
    json.dumps(far, allow_nan=False)


def tiles_a_side(*sets: tuple[np.ndarray, np.ndarray], **options: object) -> tuple[int, int]:
    found = fidelity(*sets, extractor=MeanColour(), **options)
    return found["n"], found["real_reference"]["n"]


def test_both_tile_groups_have_the_same_n_and_both_references_too() -> None:
    real, few = coloured(10, 20, seed=0), coloured(10, 3, seed=1)
    assert tiles_a_side(real, few) == (30, 30)
    assert tiles_a_side(real, real) == (200, 100)  # the reference: a half of the patients
    assert tiles_a_side(real, real, held_out=few) == (200, 30)
    assert tiles_a_side(real, real, limit=40)[0] == 40


def test_without_patients_there_is_kid_but_no_interval_and_no_reference() -> None:
    images = coloured(10, 12, seed=0)[0]
    found = fidelity((images, None), (images[::-1], None), extractor=MeanColour())
    assert found["kid"] == pytest.approx(kid(MeanColour()(images), MeanColour()(images)))
    assert found["kid_interval"] is None
    none = {"within": None, "between": None}
    others = dict.fromkeys(("cmmd", "fid", "fid_extrapolated"), none)
    assert found["real_reference"] == {**none, "within_range": None, "n": None, **others}
    assert found["at_reference_size"] is None
    assert found["neighbours"]["coverage"] == {"synthetic": 1.0, "real": None, "of_real": None}


def test_few_tiles_and_few_patients_are_said() -> None:
    found = fidelity(coloured(4, 4, seed=0), coloured(4, 4, seed=1), extractor=MeanColour())
    assert any("KID from 16 tiles" in line for line in found["warnings"])
    assert any("references from 8 tiles" in line for line in found["warnings"])
    assert any(line.startswith("4 patients") for line in found["warnings"])
    plenty = fidelity(coloured(12, 20, seed=0), coloured(12, 20, seed=1), extractor=MeanColour())
    assert plenty["warnings"] == []


def test_fid_is_not_extrapolated_from_too_few_tiles() -> None:
    def found(patients: int) -> dict[str, Any]:
        return fidelity(coloured(patients, 1, seed=0), coloured(patients, 1, seed=1), extractor=MeanColour())

    few, some = found(6), found(12)
    assert few["fid_extrapolated"] is None
    assert few["real_reference"]["fid_extrapolated"]["within"] is None
    assert "FID is not extrapolated from 6 tiles; expected more than 6" in few["warnings"]
    assert isinstance(some["fid_extrapolated"], float)
    assert any(line.startswith("FID extrapolated from 12 tiles in 6 dimensions") for line in some["warnings"])


class Spoilt(MeanColour):
    """Gives what a broken network gives for tiles of one brightness."""

    name = "spoilt@8"

    def __init__(self, *, value: float, tile: int | slice = slice(None)) -> None:
        self.value, self.tile = value, tile

    def __call__(self, images: np.ndarray) -> np.ndarray:
        found = super().__call__(images)
        if images.mean() > 150:
            found[self.tile] = self.value
        return found


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_numbers_are_named(value: float) -> None:
    real, bright = coloured(4, 6, seed=0), coloured(4, 6, seed=1, shift=60)
    with pytest.raises(InputError, match="spoilt@8: features of `synthetic`, tile 3 are not numbers; use"):
        fidelity(real, bright, extractor=Spoilt(value=value, tile=3))
    with pytest.raises(InputError, match="features of `held_out`, tile 3 are"):
        fidelity(real, real, held_out=bright, extractor=Spoilt(value=value, tile=3))


def test_constant_features_are_refused() -> None:
    real, bright = coloured(4, 6, seed=0), coloured(4, 6, seed=1, shift=60)
    for value in (0.0, 5.0):
        with pytest.raises(InputError, match="spoilt@8: features of `synthetic` are the same for all 24"):
            fidelity(real, bright, extractor=Spoilt(value=value))
    grey = np.full_like(real[0], 128)
    with pytest.raises(InputError, match="features of `real` are the same for all 24 tiles; check the"):
        fidelity((grey, None), real, extractor=MeanColour())


def test_same_seed_same_result() -> None:
    sets = coloured(10, 9, seed=0), coloured(10, 9, seed=1)
    first, again = (fidelity(*sets, extractor=MeanColour(), seed=3) for _ in range(2))
    assert first == again
    assert first != fidelity(*sets, extractor=MeanColour(), seed=4)


def test_halves_share_no_patient_and_are_nearly_equal() -> None:
    groups = np.repeat(list("abcdefg"), [30, 5, 10, 20, 10, 15, 10])
    divisions = patient_halves(groups, count=6)
    assert len(divisions) == 6
    for first, second in divisions:
        assert not set(groups[first]) & set(groups[second])
        assert len(first) + len(second) == 100
        assert 30 <= len(first) <= 70
    assert len(patient_halves(np.repeat(["a", "b"], 5), count=6)) == 1
    assert patient_halves(np.repeat(["a"], 5), count=6) == []


def test_tilesets_are_clustered_by_donor(tmp_path: Path) -> None:
    images, groups = coloured(12, 8, seed=0)
    shifted = coloured(12, 8, seed=1, shift=10)[0]
    real = [
        Tile(tile_id=f"t:{i}", image=image, patient_id=f"t:{patient}", mpp=0.5)
        for i, (image, patient) in enumerate(zip(images, groups, strict=True))
    ]
    synthetic = [
        Tile(
            tile_id=f"s:{i}",
            image=image,
            patient_id=None,
            mpp=0.5,
            synthetic=True,
            donor_patient_id=f"t:{groups[i]}",
        )
        for i, image in enumerate(shifted)
    ]
    sets = [
        write_tileset(tmp_path / name, tiles, classes=["a"])
        for name, tiles in (("real", real), ("synthetic", synthetic))
    ]
    found = fidelity(sets[0], sets[1], extractor=MeanColour())
    assert found == fidelity((images, groups), (shifted, groups), extractor=MeanColour())
    assert found["n_patients"] == 12


def test_sets_that_cannot_be_compared_are_refused() -> None:
    real = coloured(3, 4, seed=0)
    with pytest.raises(InputError, match=r"\(4, 4\) and \(8, 8\) px; expected one size"):
        fidelity(real, (real[0][:, :4, :4], real[1]), extractor=MeanColour())
    with pytest.raises(InputError, match="synthetic holds 0 tiles"):
        fidelity(real, (real[0][:0], None), extractor=MeanColour())
    with pytest.raises(InputError, match="12 tiles and 2 patients"):
        fidelity((real[0], ["a", "b"]), real, extractor=MeanColour())
