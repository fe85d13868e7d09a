"""From layouts to tiles: stored layouts, and what `synthesise` makes of them or refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK, phantom_tileset

from nucleosynth.data.phantom.tissue import CLASSES
from nucleosynth.diffusion.config import NetworkConfig, SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.errors import InputError
from nucleosynth.layouts.atypia import Dial
from nucleosynth.layouts.provider import (
    ModelLayouts,
    StoredLayouts,
    choose_labels,
    open_layouts,
    write_layouts,
)

SYNTHESIS = SynthesisConfig(tiles=10, labels="balanced", steps=2, batch=4)


def generator(patients, *, masks=True, mpp=1.0):
    torch.manual_seed(0)
    network = NetworkConfig.model_validate(TINY_NETWORK)
    card = ModelCard(CLASSES, 16, mpp, masks, list(patients), "hash", network, 4)
    return Generator(build_denoiser(card, mean=torch.full((3,), 0.6), std=torch.full((3,), 0.2)), card)


@pytest.fixture
def donors(tmp_path):
    return phantom_tileset(tmp_path / "donors")


def test_tiles_have_layouts_of_their_class_and_record_the_model(layout_model, donors, tmp_path):
    dial = Dial(size_ratio=1.2)
    made = synthesise(
        generator(layout_model.patients),
        donors,
        tmp_path / "s",
        config=SYNTHESIS,
        layouts=ModelLayouts(layout_model, dial),
    )
    labels = made.labels.tolist()
    assert labels == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    drawn = layout_model.draw(10, label=labels, dial=dial, size=16, mpp=1.0)
    assert np.array_equal(made.masks, drawn)
    provenance = made.info["provenance"]["layouts"]
    assert provenance == {"model": layout_model.layouts_id, "dial": dial.model_dump()}
    donor = dict(zip(donors.column("tile_id"), donors.labels.tolist(), strict=True))
    assert [donor[name] for name in made.column("donor_tile_id")] == labels
    assert set(made.patients.tolist()) <= set(layout_model.patients)


def test_batches_do_not_change_the_tiles(layout_model, donors, tmp_path):
    layouts = ModelLayouts(layout_model)
    one, other = (
        synthesise(
            generator(layout_model.patients),
            donors,
            tmp_path / str(batch),
            config=SYNTHESIS.model_copy(update={"batch": batch}),
            layouts=layouts,
        )
        for batch in (3, 10)
    )
    assert np.array_equal(one.masks, other.masks)
    assert np.abs(one.images.astype(int) - other.images).max() <= 1


def test_stored_layouts_are_used_in_order_and_again(layout_model, donors, tmp_path):
    stored = write_layouts(
        tmp_path / "drawn", layout_model, labels=[2, 0, 1, 0, 2, 1], size=16, mpp=1.0, seed=7
    )
    assert np.array_equal(
        stored.pixels, layout_model.draw(6, label=[2, 0, 1, 0, 2, 1], size=16, mpp=1.0, seed=7)
    )
    opened = open_layouts(tmp_path / "drawn")
    made = synthesise(
        generator(layout_model.patients), donors, tmp_path / "s", config=SYNTHESIS, layouts=opened
    )
    order = [1, 2, 0, 3, 5, 4, 1, 2, 0, 3]  # grades in turn, two of each
    assert np.array_equal(made.masks, stored.pixels[order])
    assert made.info["provenance"]["layouts"] == stored.identity()
    assert (tmp_path / "drawn" / "layouts.png").stat().st_size > 0


def test_layouts_trained_on_a_held_out_patient_are_refused(layout_model, donors, tmp_path):
    with pytest.raises(InputError, match="layouts: was trained on patient phantom:p05"):
        synthesise(
            generator(layout_model.patients[:5]), donors, tmp_path / "s", layouts=ModelLayouts(layout_model)
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"masks": False}, "trained without masks"), ({"mpp": None}, "µm/px is unknown")],
)
def test_generators_that_cannot_use_layouts(layout_model, donors, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        synthesise(
            generator(layout_model.patients, **changes),
            donors,
            tmp_path / "s",
            layouts=ModelLayouts(layout_model),
        )


def test_other_classes_are_refused(layout_model, donors, tmp_path):
    renamed = layout_model.model_copy(update={"classes": ["a", "b", "c"]})
    with pytest.raises(InputError, match="are not those of the donors"):
        synthesise(generator(layout_model.patients), donors, tmp_path / "s", layouts=ModelLayouts(renamed))


def test_stored_layouts_that_do_not_fit(layout_model, donors, tmp_path):
    write_layouts(tmp_path / "large", layout_model, labels=[0, 1, 2])
    with pytest.raises(InputError, match="draw them with --size 16 --mpp 1"):
        synthesise(
            generator(layout_model.patients), donors, tmp_path / "s", layouts=open_layouts(tmp_path / "large")
        )
    write_layouts(tmp_path / "part", layout_model, labels=[0, 1], size=16, mpp=1.0)
    with pytest.raises(InputError, match="no layout grade 3"):
        synthesise(
            generator(layout_model.patients),
            donors,
            tmp_path / "s",
            config=SYNTHESIS,
            layouts=open_layouts(tmp_path / "part"),
        )


def test_a_folder_has_its_dial_already_and_is_not_written_over(layout_model, tmp_path):
    write_layouts(tmp_path / "drawn", layout_model, labels=[0])
    with pytest.raises(InputError, match="drawn already"):
        open_layouts(tmp_path / "drawn", Dial(density=2))
    with pytest.raises(InputError, match="already exists"):
        write_layouts(tmp_path / "drawn", layout_model, labels=[0])


@pytest.mark.parametrize("damage", ["kind", "count", "masks", "dtype"])
def test_damaged_folders(layout_model, tmp_path, damage):
    folder = tmp_path / "drawn"
    write_layouts(folder, layout_model, labels=[0, 1])
    card = json.loads((folder / "layouts.json").read_text())
    if damage == "masks":
        (folder / "masks.npy").write_bytes(b"no array")
    elif damage == "dtype":
        np.save(folder / "masks.npy", np.zeros((2, 64, 64)))
    else:
        change = {"kind": "x"} if damage == "kind" else {"labels": [0]}
        (folder / "layouts.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(InputError, match="draw them again"):
        StoredLayouts.open(folder)


def test_labels(layout_model):
    assert choose_labels(layout_model, 3, label="grade 2", labels="as-train", seed=0) == [1, 1, 1]
    assert choose_labels(layout_model, 4, label=None, labels="balanced", seed=0) == [0, 1, 2, 0]
    many = choose_labels(layout_model, 3000, label=None, labels="as-train", seed=0)
    share = np.array([statistics.tiles for statistics in layout_model.class_statistics], float)
    assert np.bincount(many, minlength=3) / 3000 == pytest.approx(share / share.sum(), abs=0.04)
    assert many[:5] == choose_labels(layout_model, 5, label=None, labels="as-train", seed=0)
    with pytest.raises(InputError, match="unknown class 'grade 4'"):
        choose_labels(layout_model, 1, label="grade 4", labels="as-train", seed=0)
