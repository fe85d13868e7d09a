"""The audit catches what is planted, however it is disguised, and passes what is fresh."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from tests.phantoms import TINY_NETWORK, phantom_tileset

from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.data.stain import jitter_stain
from nucleosynth.diffusion.config import NetworkConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.errors import InputError
from nucleosynth.evaluate.memorization.audit import Real, memorization
from nucleosynth.evaluate.memorization.audit_io import control_tiles, divide, write_memorization
from nucleosynth.evaluate.memorization.structure_search import TURNS, StructureSearch, turned
from nucleosynth.seeds import rng

COPIES = 40


class Coarse:
    """Features that tests can afford: the tile in 8 x 8 cells."""

    name, weights_hash = "cells", "none"

    def __call__(self, images):
        n, side = images.shape[:2]
        cells = images.reshape(n, 8, side // 8, 8, side // 8, 3).mean(axis=(2, 4)).reshape(n, -1)
        return (cells - cells.mean(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def tissue():
    """Training, held-out and fresh tiles: 32 px, of 10, 10 and 4 phantom patients."""
    tiles = list(phantom_tiles(PhantomConfig(tiles=480, patients=24), size=32, mpp=1.0))
    images, patients = np.stack([t.image for t in tiles]), np.array([t.patient_id for t in tiles])
    names = sorted(set(patients.tolist()))

    def part(chosen):
        rows = np.isin(patients, chosen)
        return Real(images[rows], patients[rows])

    return part(names[:10]), part(names[10:20]), part(names[20:]).images


def disguised(images, how):
    drawn = rng(0, how)
    if how == "turned":
        return np.stack([turned(x[None], i % TURNS)[0] for i, x in enumerate(images)])
    if how == "shifted":
        return np.stack([np.roll(x, drawn.integers(-3, 4, size=2), axis=(0, 1)) for x in images])
    if how == "blurred":
        return gaussian_filter(images.astype(float), (0, 0.8, 0.8, 0)).round().astype(np.uint8)
    if how == "restained":
        factors = np.exp(0.25 * drawn.standard_normal((len(images), 2))).astype(np.float32)
        shifts = (0.03 * drawn.standard_normal((len(images), 2))).astype(np.float32)
        return jitter_stain(images, factors, shifts)
    noise = drawn.normal(scale=6, size=images.shape)
    return (images + noise).clip(0, 255).round().astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["turned", "shifted", "blurred", "restained", "noisy"])
def test_a_copycat_is_caught_however_it_hides(tissue, how):
    train, held_out, _ = tissue
    originals = np.sort(rng(1, "originals").permutation(len(train.images))[:COPIES])
    found = memorization(train, disguised(train.images[originals], how), held_out, extractor=Coarse())
    assert found.scores["copies"]["synthetic"]["rate"] >= 0.95
    assert found.scores["structure"]["synthetic"]["rate"] >= 0.95
    assert found.scores["verdict"] != "no more copies shown than chance"
    assert found.scores["p_value"] < 1e-6
    assert found.scores["structure"]["ratio"] < 0.5
    assert all(pair.train == originals[pair.synthetic] for pair in found.pairs)
    assert [p.structure for p in found.pairs] == sorted((p.structure for p in found.pairs), reverse=True)


@pytest.mark.slow
def test_a_pair_says_how_the_copy_lies(tissue):
    train, held_out, _ = tissue
    moved = np.roll(turned(train.images[7:8], 0), (2, -3), axis=(1, 2))
    (pair,) = memorization(train, moved, held_out, extractor=Coarse()).pairs
    assert (pair.synthetic, pair.train, pair.turn, pair.shift) == (0, 7, 0, (2, -3))


@pytest.mark.slow
def test_fresh_tissue_passes(tissue):
    train, held_out, fresh = tissue
    found = memorization(train, fresh, held_out, extractor=Coarse())
    assert found.scores["verdict"] == "no more copies shown than chance"
    assert found.scores["copies"]["synthetic"]["rate"] <= 0.05
    assert 0.9 < found.scores["structure"]["ratio"] < 1.1
    low, high = found.scores["copies"]["synthetic"]["interval"]
    assert 0 <= low <= found.scores["copies"]["synthetic"]["rate"] <= high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("references", [15, 300])
def test_copies_are_nearer_to_their_own_group_and_new_tissue_to_neither(tissue, references):
    """Also where there are fewer held-out than training tiles, which are then nearer by chance."""
    train, held_out, fresh = tissue
    others = Real(held_out.images[:references], held_out.patients[:references])

    def ratio(images):
        found = memorization(train, images, others, extractor=Coarse(), limit=100)
        return found.scores["structure"]["ratio_of_sides"]

    assert ratio(disguised(train.images[:60], "noisy")) < 0.5
    assert 0.92 < ratio(fresh[:100]) < 1.1
    assert ratio(disguised(others.images, "noisy")) > 2


@pytest.mark.slow
def test_a_few_copies_among_fresh_tiles_are_counted(tissue):
    train, held_out, fresh = tissue
    mixed = np.concatenate([fresh, disguised(train.images[:30], "noisy")])
    scores = memorization(train, mixed, held_out, extractor=Coarse()).scores
    assert 30 <= scores["copies"]["synthetic"]["copies"] <= 30 + 0.05 * len(fresh)
    assert scores["identical"] >= 27
    assert scores["verdict"].endswith("near-identical tiles")


@pytest.mark.slow
def test_one_copy_is_enough_to_be_named(tissue):
    train, held_out, fresh = tissue
    one = memorization(train, np.concatenate([fresh, train.images[:1]]), held_out, extractor=Coarse())
    assert one.scores["p_value"] > 0.05
    assert one.scores["verdict"] == "1 near-identical tile"
    assert (one.pairs[0].synthetic, one.pairs[0].train) == (len(fresh), 0)


@pytest.mark.slow
def test_likeness_that_a_control_has_too_is_no_memory(tissue):
    """Tiles painted from the masks of others alone, as a generator without memory would."""
    train, held_out, _ = tissue

    def follows(images):
        return gaussian_filter(disguised(images, "noisy").astype(float), (0, 1.2, 1.2, 0)).astype(np.uint8)

    made, control = follows(train.images[:60]), follows(held_out.images[:60])
    alone = memorization(train, made, held_out, extractor=Coarse()).scores
    controlled = memorization(train, made, held_out, control=control, extractor=Coarse()).scores
    assert alone["p_value"] < 1e-6
    assert "no control" in alone["warnings"][-1]
    assert controlled["compared_with"] == "control"
    assert controlled["copies"]["control"]["rate"] > 0.9
    assert controlled["verdict"] == "no more copies shown than chance"


@pytest.mark.slow
def test_a_control_of_few_references_is_given_the_chance_of_as_many(tissue):
    train, held_out, _ = tissue
    few = held_out.some(20, seed=0, stream="few")
    control = rng(0, "like nothing").integers(240, 244, few.images.shape, dtype=np.uint8)
    medians = []
    for references in (train.some(20, seed=0, stream="as few"), train):
        scores = memorization(references, train.images[:20], few, control=control, extractor=Coarse()).scores
        medians.append({name: scores["structure"][name]["median"] for name in ("control", "held_out")})
    as_few, many = medians
    assert many["held_out"] > as_few["held_out"] > as_few["control"]
    assert many["control"] >= many["held_out"]


@pytest.mark.slow
@pytest.mark.parametrize(("value", "words"), [(np.nan, "are not numbers"), (1.0, "are the same for all")])
def test_features_that_tell_nothing_are_refused(tissue, value, words):
    train, held_out, fresh = tissue

    class Spoilt(Coarse):
        def __call__(self, images):
            return np.full((len(images), 4), value, np.float32)

    with pytest.raises(InputError, match=words):
        memorization(train, fresh, held_out, extractor=Spoilt())


@pytest.mark.slow
def test_neither_glass_nor_the_edge_of_a_scan_makes_copies(tissue):
    train, held_out, _ = tissue
    glass = np.full((3, 32, 32, 3), 244, np.uint8) + rng(0, "glass").integers(
        0, 3, (3, 32, 32, 3), dtype=np.uint8
    )
    assert StructureSearch(train.images)(glass).similarity.max() < 0.5
    threshold = memorization(train, glass, held_out, extractor=Coarse()).scores["structure"]["threshold"]
    edge, edged = train.images[:20].copy(), held_out.images[:20].copy()
    edge[:, :, :10] = edged[:, :, :10] = 0
    assert StructureSearch(edge)(edged).similarity.max() < threshold


def test_own_patients_are_left_out_of_calibration(tissue):
    train, _, _ = tissue
    some = slice(0, 20)
    found = StructureSearch(train.images)(train.images[some], apart=(train.patients[some], train.patients))
    assert (train.patients[found.reference] != train.patients[some]).all()


@pytest.mark.slow
def test_the_packaged_extractor_serves_too(tissue):
    train, held_out, _ = tissue
    few = train.some(30, seed=0, stream="few")
    scores = memorization(few, few.images[:8], held_out, limit=10).scores
    assert scores["extractor"] == "lite0@224"
    assert scores["features"]["synthetic"]["copies"] == 8
    named = [words.split()[1] for words in scores["warnings"]]
    assert named == ["synthetic", "held-out", "calibration", "control:"]


def test_what_cannot_be_audited_is_one_line(tissue):
    train, held_out, fresh = tissue
    one = Real(train.images[:4], np.array(["p"] * 4))
    for arguments, words in [
        ((train, fresh, train), "is both training and held out"),
        ((one, fresh, held_out), "of one patient"),
        ((train, fresh[:0], held_out), "no synthetic tiles"),
        ((train, fresh[:, :16, :16], held_out), "expected squares of one size"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            memorization(*arguments, extractor=Coarse())
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_scores_and_pairs_are_written(tissue, tmp_path):
    train, held_out, _ = tissue
    made = disguised(train.images[:10], "turned")
    found = memorization(train, made, held_out, extractor=Coarse())
    stored, picture = write_memorization(found, train, made, tmp_path / "audit", columns=4)
    read = json.loads(stored.read_text())
    assert read["verdict"] == "10 near-identical tiles"
    assert len(read["pairs"]) == 10
    shown = np.asarray(Image.open(picture))
    assert shown.shape[0] > 6 * 64
    above, below = shown[2:62, 2:62].astype(int), shown[68:128, 2:62].astype(int)
    assert np.abs(above - below).mean() < 20


def test_patients_are_divided_into_training_and_others(tmp_path):
    tiles = phantom_tileset(tmp_path / "tiles", tiles=48, patients=8)
    names = sorted(set(tiles.patients.tolist()))
    train, held_out = divide([tiles], names[:5])
    assert sorted(set(train.patients.tolist())) == names[:5]
    assert sorted(set(held_out.patients.tolist())) == names[5:]
    for trained_on, words in (
        (["x"], "no tile of a patient that the generator was trained on"),
        (names, "that it was not trained on"),
    ):
        with pytest.raises(InputError, match=words):
            divide([tiles], trained_on)
    with pytest.raises(InputError, match="expected one size"):
        divide([tiles, phantom_tileset(tmp_path / "larger", size=32)], names)


@pytest.mark.parametrize("classes", [["grade 1", "grade 2", "grade 3"], []])
def test_a_control_is_drawn_for_patients_that_the_generator_was_not_trained_on(tmp_path, classes):
    tiles = phantom_tileset(tmp_path / "tiles", tiles=48, patients=8)
    names = sorted(set(tiles.patients.tolist()))
    network = NetworkConfig.model_validate(TINY_NETWORK)

    def untrained(classes, patients):
        card = ModelCard(classes, 16, 1.0, True, patients, "hash", network, 1)
        return Generator(build_denoiser(card), card)

    config = SynthesisConfig(tiles=4, steps=2)
    made = synthesise(untrained(tiles.classes, names[:5]), tiles, tmp_path / "made", config=config, seed=0)
    generator = untrained(classes, names[:5])
    control = control_tiles(generator, tiles, made, limit=7, seed=0)
    assert control.shape == (7, 16, 16, 3)
    assert control_tiles(untrained(classes, names), tiles, made, limit=7, seed=0) is None
