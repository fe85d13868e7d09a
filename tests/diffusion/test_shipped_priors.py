"""The priors that come with the package: offline, following masks, trained on allowed patients."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.data.stain import rgb_to_od
from nucleosynth.diffusion.config import PRIORS, GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.locate import shipped_path
from nucleosynth.diffusion.preview import STAINS
from nucleosynth.diffusion.training.finetune import load_initial_weights

MOST_BYTES = 16e6


@pytest.fixture(scope="module", params=PRIORS)
def prior(request):
    return Generator.from_pretrained(request.param, device="cpu")


def test_it_is_small_and_has_a_card(prior):
    weights, card = prior.path / "model.safetensors", prior.path / "README.md"
    assert weights.stat().st_size < MOST_BYTES
    text = card.read_text(encoding="utf-8")
    assert all(
        words in text for words in ("Intended use", "Limits", "training patients", "licence of the weights")
    )
    scale = (128, 0.25) if prior.path.name == "tissue-prior-40x" else (64, 0.5)
    assert (prior.card.size, prior.card.mpp, prior.card.classes) == (*scale, [])


@pytest.mark.slow
def test_nuclei_are_where_they_were_requested(prior):
    card = prior.card
    drawn = list(phantom_tiles(PhantomConfig(tiles=6, patients=6), size=card.size, mpp=card.mpp))
    masks = np.stack([tile.mask for tile in drawn]).astype(np.int32)
    made = prior.sample(masks=masks, stain=np.array(STAINS[0]), seed=0)
    density = rgb_to_od(made).mean(axis=-1)
    darker = [d[m > 0].mean() - d[m == 0].mean() for d, m in zip(density, masks, strict=True)]
    elsewhere = [
        d[m > 0].mean() - d[m == 0].mean() for d, m in zip(density, np.roll(masks, 1, axis=0), strict=True)
    ]
    assert np.mean(darker) > 0.08
    assert np.mean(darker) > 3 * np.abs(np.mean(elsewhere))


def test_it_was_trained_on_no_test_patient_of_transfer(prior):
    assert not any(patient.startswith("tnbc") for patient in prior.card.trained_on)


def test_one_of_them_was_trained_on_no_patient_of_amibr():
    card = Generator.from_pretrained("nucleosynth/tissue-prior-noamibr", device="cpu").card
    assert {patient.partition(":")[0] for patient in card.trained_on} == {"consep", "dsb2018"}


@pytest.mark.real
@pytest.mark.parametrize("name", ["nucleosynth/tissue-prior", "nucleosynth/tissue-prior-40x"])
def test_no_held_out_slide_of_amibr_was_seen(real_data, name):
    root = real_data("amibr")
    trained_on = set(Generator.from_pretrained(name, device="cpu").card.trained_on)

    def slides(name):
        with (root / name).open(newline="", encoding="utf-8") as file:
            return {f"{row['dataset']}:{row['slide']}" for row in csv.DictReader(file)}

    train, validation = slides("amibr_train_split.csv"), slides("amibr_validation_slides.csv")
    assert {
        patient for patient in trained_on if not patient.startswith(("consep", "dsb2018"))
    } == train - validation
    assert not trained_on & (slides("AMI-BR.csv") - train)


def test_a_name_that_is_not_there_is_none():
    assert shipped_path("nucleosynth/nothing") is None
    assert shipped_path("owner/tissue-prior") is None


@pytest.mark.parametrize(
    ("mpp", "name"),
    [(0.25, "tissue-prior-40x"), (0.3, "tissue-prior-40x"), (0.4, "tissue-prior"), (None, "tissue-prior")],
)
def test_tiles_of_either_scale_find_theirs(tmp_path, mpp, name):
    tiles = phantom_tileset(tmp_path / "tiles")
    tiles.mpp = mpp
    found = load_initial_weights(GeneratorConfig(), tiles, set(tiles.patients.tolist()))
    assert found.path.name == name
