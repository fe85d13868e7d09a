"""The prior: tissue of many sources, only of training patients, for use as initial weights."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, scattered, write_pictures
from tests.phantoms import TINY_NETWORK
from tests.places import STUDIES

from nucleosynth.config import load_config, parse
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion import locate
from nucleosynth.diffusion.config import PRIOR, GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.training import finetune as start
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.diffusion.training.prior import PriorConfig, train_prior
from nucleosynth.errors import InputError


def source(name: str) -> dict[str, object]:
    return {
        "reader": "pictures",
        "dataset": name,
        "images": f"{name}/images",
        "masks": f"{name}/masks",
        "mpp": 0.5,
    }


def config(**changes) -> PriorConfig:
    stated = {
        "name": "little",
        "tiles": {"size": 16, "mpp": 0.5},
        "segmenter": "none",
        "sources": [{"data": source("one"), "split": {"file": "split.json"}}, {"data": source("two")}],
        "generator": {"steps": 2, "batch": 4, "start": "none", "network": TINY_NETWORK},
        **changes,
    }
    return parse(PriorConfig, stated, source="test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for number, name in enumerate(("one", "two")):
        drawn = {
            f"{name}-{i}": disc_labels(scattered(10 * number + i, count=8, side=24.0), radius=2.5, size=48)
            for i in range(3)
        }
        write_pictures(root / name, drawn)
    fold = Fold(train=["one:one-0"], validation=["one:one-1"], test=["one:one-2"])
    Split(rule="drawn", folds=[fold]).save(root / "split.json")
    return root


@pytest.fixture(scope="module")
def prior(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("prior") / "run"
    return train_prior(config(), root=root, out=out, device="cpu")


def test_only_the_training_part_of_a_split_source_is_kept(prior):
    tiles = TileSet.open(prior.parent / "tiles")
    seen = ["one:one-0", "two:two-0", "two:two-1", "two:two-2"]
    assert sorted(set(tiles.patients.tolist())) == seen
    assert Generator.from_pretrained(prior, device="cpu").card.patients == seen


def test_it_is_kept_in_half_precision_and_draws_nearly_the_same(prior):
    whole = Generator.from_pretrained(prior.parent / "training", device="cpu")
    half = Generator.from_pretrained(prior, device="cpu")
    sizes = [(path / "model.safetensors").stat().st_size for path in (whole.path, half.path)]
    assert sizes[1] < 0.6 * sizes[0]
    made = [model.sample(indices=range(4), steps=4).astype(int) for model in (whole, half)]
    assert np.abs(made[0] - made[1]).mean() < 2


def test_the_same_command_continues_and_another_is_refused(prior, root):
    assert train_prior(config(), root=root, out=prior.parent, device="cpu") == prior
    with pytest.raises(InputError, match="seed"):
        train_prior(config(seed=1), root=root, out=prior.parent, device="cpu")


@pytest.mark.parametrize("name", ["tissue-prior", "tissue-prior-40x", "tissue-prior-noamibr"])
def test_the_files_of_the_shipped_priors_are_sound(name):
    stated = load_config(PriorConfig, STUDIES / f"{name}.yaml")
    assert stated.name == name
    assert all(source.data.licence for source in stated.sources)
    readers = [source.data.dataset for source in stated.sources]
    assert readers == ([] if name == "tissue-prior-noamibr" else ["amibr"]) + ["consep", "dsb2018"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [{"data": source("one")}, {"data": source("one")}]}, "share one `data.dataset`"),
        ({"sources": [{"data": {"reader": "phantom"}}]}, "has no `data.dataset`"),
        ({"name": "a/b"}, "name"),
        ({"name": "training"}, "`training` cannot name a prior"),
        ({"sources": [{"data": {**source("one"), "dataset": ".."}}]}, "`..` cannot name"),
        ({"generator": {"path": "runs/a"}}, "`generator.path` has no effect here"),
        ({"generator": {"start": "prior"}}, "name the prior for initial weights"),
    ],
)
def test_bad_settings_are_one_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)


def test_initial_weights_trained_on_patients_that_a_split_holds_out_are_refused(prior, root, tmp_path):
    first = Generator.from_pretrained(prior, device="cpu")
    first.card.patients.append("one:one-2")
    first.save_pretrained(tmp_path / "start")
    leg = config(
        generator={"steps": 2, "batch": 4, "start": str(tmp_path / "start"), "network": TINY_NETWORK}
    )
    with pytest.raises(InputError, match="was trained on patient one:one-2"):
        train_prior(leg, root=root, out=tmp_path / "leg", device="cpu")


@pytest.fixture
def shipped(prior, tmp_path, monkeypatch):
    """Three priors as of the package: the second was not trained on `one`, the last has a finer scale."""
    monkeypatch.setattr(locate, "SHIPPED", tmp_path)
    first = Generator.from_pretrained(prior, device="cpu")
    first.save_pretrained(tmp_path / "first")
    fine = Generator(first.denoiser, replace(first.card, mpp=first.card.mpp / 2))
    fine.save_pretrained(tmp_path / "fine")
    first.card.patients[:] = ["two:two-0"]
    first.save_pretrained(tmp_path / "second")
    names = ("first", "second", "fine")
    monkeypatch.setattr(start, "PRIORS", tuple(f"nucleosynth/{name}" for name in names))


def trained(prior, patients, out, *, mpp=None):
    tiles = TileSet.open(prior.parent / "sources" / "one")
    tiles.mpp = mpp or tiles.mpp
    asked = GeneratorConfig(start=PRIOR, steps=1, batch=2, network=TINY_NETWORK)
    path = train_generator(tiles, patients, asked, out=out, device="cpu")
    return json.loads((path / "config.json").read_text())["start"]


def test_the_first_prior_trained_on_no_held_out_patient_is_used(prior, shipped, tmp_path, caplog):
    everybody = ["one:one-0", "one:one-1", "one:one-2"]
    begun = trained(prior, everybody, tmp_path / "a")
    assert "one:one-0" in begun["patients"]
    assert begun["name"] == "nucleosynth/first"
    with caplog.at_level(logging.WARNING, logger="nucleosynth"):
        assert trained(prior, everybody[1:], tmp_path / "b")["patients"] == ["two:two-0"]
    assert "nucleosynth/first was trained on patient one:one-0, who is held out" in caplog.text


def test_the_prior_of_the_nearest_scale_is_used(prior, shipped, tmp_path, caplog):
    everybody = ["one:one-0", "one:one-1", "one:one-2"]
    own = Generator.from_pretrained(prior, device="cpu").card.mpp
    with caplog.at_level(logging.WARNING, logger="nucleosynth"):
        trained(prior, everybody, tmp_path / "a", mpp=own / 2)
    assert not caplog.text
    with caplog.at_level(logging.WARNING, logger="nucleosynth"):
        begun = trained(prior, everybody[1:], tmp_path / "b", mpp=own / 2)
    assert begun["patients"] == ["two:two-0"]
    assert "nucleosynth/fine was trained on patient one:one-0" in caplog.text
    assert "nucleosynth/second: trained at" in caplog.text


def test_a_name_of_the_package_needs_no_network(shipped):
    with pytest.raises(InputError, match="there is nucleosynth/fine, nucleosynth/first, nucleosynth/second"):
        Generator.from_pretrained("nucleosynth/third", device="cpu")
    assert Generator.from_pretrained("nucleosynth/second", device="cpu").card.patients == ["two:two-0"]
