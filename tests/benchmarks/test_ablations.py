"""Variants are trained and drawn from, and each changes what it says."""

import numpy as np
import pytest
import torch
from benchmarks import ablations
from benchmarks.ablations import denoising, place
from benchmarks.table import render
from benchmarks.variants import VARIANTS, Variant, prepare, weighted

SMALL = {"network": {"width": 16, "multipliers": (1, 2), "embedding": 16}, "batch": 2}


@pytest.fixture(scope="module")
def patients(tiles):
    return sorted(set(tiles.patients.tolist()))[:3]


def small(variant):
    """Return it with a small network; what the variant itself says of the network stays."""
    own = dict(variant.changes)
    network = {**SMALL["network"], **own.pop("network", {})}
    return Variant(
        variant.name, "", {**SMALL, **own, "network": network}, alter=variant.alter, stain=variant.stain
    )


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_variant_learns_draws_and_is_kept(tiles, patients, variant, tmp_path):
    prepared = prepare(small(variant), tiles, patients, seed=0)
    prepared.learner.loss(0).backward()
    generator = prepared.generator(prepared.learner.model.state_dict())
    made = generator.sample(masks=np.zeros((2, *tiles.size), np.int32), steps=2, seed=0)
    assert made.shape == (2, *tiles.size, 3)
    generator.save_pretrained(tmp_path / "kept")


def test_the_weights_of_the_default_are_those_of_the_product(tiles, patients):
    plain = prepare(small(VARIANTS[0]), tiles, patients, seed=0).build()
    assert VARIANTS[0].name == "default"
    error, sigma = torch.randn(2, 3, *tiles.size), torch.tensor([0.2, 5.0])
    expected = plain.losses(error, sigma)
    assert torch.allclose(weighted(0.5, 0.5)(plain).losses(error, sigma), expected, rtol=1e-4)
    assert not torch.allclose(weighted(1.0, 0.0)(plain).losses(error, sigma), expected, rtol=1e-1)


def test_an_untrained_denoiser_leaves_what_the_linear_one_leaves(tiles, patients):
    denoiser = prepare(small(VARIANTS[0]), tiles, patients, seed=0).build()
    left = denoising(denoiser, tiles, tiles.rows_of(patients), seed=0, stained=True)
    assert all(0.8 < share < 1.5 for share in left.values())


def test_rows_stand_in_the_order_of_the_variants():
    rows = [{"name": name} for name in ("former", VARIANTS[1].name, VARIANTS[0].name)]
    assert [row["name"] for row in sorted(rows, key=place)] == ["default", VARIANTS[1].name, "former"]
    assert "One thing changed" not in render({})


def test_variants_of_the_default_network_take_its_seconds_and_each_is_timed_once(tmp_path, monkeypatch):
    asked = []

    def timing(variants, tiles, fold, *, seed):
        asked.append([variant.name for variant in variants])
        return {variant.name: 0.1 * len(variant.name) for variant in variants}

    monkeypatch.setattr(ablations, "seconds_per_step", timing)
    known = {variant.name: variant for variant in VARIANTS}

    def timed(*names):
        return ablations.timed([known[n] for n in names], None, None, path=tmp_path / "seconds.json", seed=0)

    assert timed("no EMA", "width 64") == pytest.approx({"no EMA": 0.7, "width 64": 0.8})
    assert timed("width 64", "batch 16") == pytest.approx({"width 64": 0.8, "batch 16": 0.8})
    assert asked == [["default", "width 64"], ["batch 16"]]
    for variant in VARIANTS[1:]:
        assert variant.costs or not {"network", "batch"} & variant.changes.keys()
