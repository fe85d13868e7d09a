"""Variations of tiles: sampling that begins from a noised tile in place of noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK, phantom_tileset

from nucleosynth.cli import main
from nucleosynth.config import parse
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.recipes.samplers import SAMPLERS
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.diffusion.synthesis import draw_like, synthesise
from nucleosynth.diffusion.training.generator import statistics
from nucleosynth.errors import InputError

CONFIG = parse(GeneratorConfig, {"steps": 1, "network": {**TINY_NETWORK, "unshuffle": 2}})


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Phantom tiles, and an untrained generator: the linear denoiser of their spectrum."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        tiles = phantom_tileset(tmp_path_factory.mktemp("variations") / "tiles", tiles=40, patients=4)
        card = ModelCard(
            tiles.classes, 16, 1.0, True, sorted(set(tiles.patients.tolist()))[:2], "hash", CONFIG.network, 4
        )
        torch.manual_seed(0)
        denoiser = build_denoiser(card, **statistics(tiles, np.arange(len(tiles))))
        yield tiles, Generator(denoiser, card).to("cpu")


def distance(a, b) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"consistency"}))
def test_little_noise_leaves_the_tile_and_much_leaves_nothing_of_it(tissue, sampler):
    tiles, generator = tissue
    origins = np.asarray(tiles.images[:6])
    labels = tiles.labels[:6].tolist()

    def made(variation, origins=origins):
        return generator.sample(
            labels, origins=origins, variation=variation, sampler=sampler, steps=8, sigma_scale=1.0
        )

    near, middle, far = (distance(made(level), origins) for level in (0.04, 0.5, 40.0))
    assert near < 4
    assert near < middle < far
    other = np.flip(origins, axis=0).copy()
    assert distance(made(40.0), made(40.0, other)) < 4 < distance(made(0.5), made(0.5, other))


def test_from_the_highest_level_a_variation_of_gray_is_a_plain_sample(tissue):
    _, generator = tissue
    mean = (generator.denoiser.mean.flatten() * 255).round().to(torch.uint8).numpy()
    gray = np.broadcast_to(mean, (4, 16, 16, 3)).astype(np.uint8).copy()
    plain = generator.sample([0, 1, 2, 0], sampler="dpmpp-2m", sigma_scale=1.0)
    varied = generator.sample([0, 1, 2, 0], origins=gray, variation=40.0, sampler="dpmpp-2m", sigma_scale=1.0)
    assert distance(plain, varied) < 1.5


def test_a_pool_of_variations_keeps_its_donors_turned_as_their_masks(tissue, tmp_path):
    tiles, generator = tissue
    config = SynthesisConfig(tiles=8, variation=0.04, steps=4, batch=3)
    pool = synthesise(generator, tiles, tmp_path / "pool", config=config, seed=5)
    rows = {name: row for row, name in enumerate(tiles.column("tile_id"))}
    donors = np.asarray(tiles.images[[rows[name] for name in pool.column("donor_tile_id")]])
    masks = np.asarray(tiles.masks[[rows[name] for name in pool.column("donor_tile_id")]])
    for made, mask, donor, donor_mask in zip(pool.images, pool.masks, donors, masks, strict=True):
        turns = [
            (np.rot90(donor, k)[:, ::-1] if flip else np.rot90(donor, k), k, flip)
            for k in range(4)
            for flip in (0, 1)
        ]
        near, k, flip = min(turns, key=lambda turn: distance(turn[0], made))
        assert distance(near, made) < 5
        turned = np.rot90(donor_mask, k)
        assert np.array_equal(turned[:, ::-1] if flip else turned, mask)
    assert pool.info["provenance"]["variation"] == 0.04


def test_the_command_draws_variations_too(tissue, tmp_path):
    tiles, generator = tissue
    generator.save_pretrained(tmp_path / "generator")
    words = [tmp_path / "generator", "--donors", tiles.path, "--tiles=4", "--steps=4", "--variation=0.04"]
    assert main(["sample", *map(str, words), "--out", str(tmp_path / "pool")]) == 0
    assert TileSet.open(tmp_path / "pool").info["provenance"]["variation"] == 0.04


def test_scores_are_of_tiles_from_noise_and_the_audit_of_variations(tissue):
    tiles, generator = tissue
    rows, stain = np.arange(4), np.zeros((4, 6), np.float32)
    config = SynthesisConfig(variation=0.04, steps=4, sampler="spectral", sigma_scale=1.0)
    how = {"stain": stain, "seed": 0, "first": 100}
    plans = (resolve_sampling(generator.card, **config.sampling, variation=level) for level in (None, 0.04))
    scored, audited = (draw_like(generator, tiles, rows, plan, **how) for plan in plans)
    real = np.asarray(tiles.images[rows])
    assert distance(audited, real) < 5 < distance(scored, real)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"variation": 1.0}, "`origins` and `variation` need each other"),
        ({"origins": np.zeros((2, 16, 16, 3), np.uint8)}, "need each other"),
        (
            {"origins": np.zeros((2, 8, 8, 3), np.uint8), "variation": 1.0},
            r"are \(8, 8\) px; expected \(16, 16\)",
        ),
        (
            {"origins": np.zeros((2, 16, 16, 3), np.uint8), "variation": 99.0},
            "a noise level above 0.03, at most 40",
        ),
    ],
)
def test_what_cannot_be_varied_is_refused(tissue, asked, words):
    _, generator = tissue
    with pytest.raises(InputError, match=words):
        generator.sample([0, 1], **asked)


def test_a_recipe_on_ddpms_schedule_makes_no_variations(tissue):
    card = ModelCard([], 16, 1.0, True, ["p:1"], "hash", CONFIG.network, 4, recipe="mask-guided")
    generator = Generator(build_denoiser(card), card).to("cpu")
    origins, masks = np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 16, 16), np.int32)
    with pytest.raises(InputError, match="of the recipe mask-guided, which makes no variations"):
        generator.sample(masks=masks, origins=origins, variation=1.0, sampler="ddim", steps=2)
