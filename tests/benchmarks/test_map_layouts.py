"""Masks come back from their distance maps; the generator learns and draws such maps unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.layout_scores import turned
from benchmarks.map_layouts import MapLayouts, decode, encode, map_config, write_maps
from tests.nuclei.drawn import disc_labels, scattered
from tests.phantoms import TINY_NETWORK

from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import mask_agreement

MPP = 0.5


def test_a_nucleus_by_hand():
    mask = np.zeros((1, 7, 24), int)
    mask[0, 1:6, 1:6] = 3
    nucleus, core, gap = encode(mask, MPP)[0, 3].T.astype(int)
    assert nucleus[:10].tolist() == [
        106,
        149,
        191,
        234,
        191,
        149,
        106,
        64,
        21,
        0,
    ]  # ±0.25, 0.75, ... of 1.5 µm
    assert core[:7].tolist() == [0, 85, 170, 255, 170, 85, 0]
    assert gap[5:9].tolist() == [0, 16, 32, 48]  # 0.5 µm of 8
    assert gap[21:].tolist() == [255, 255, 255]


def test_empty_and_full_come_back():
    masks = np.stack([np.zeros((16, 16), int), np.ones((16, 16), int)])
    assert (decode(encode(masks, MPP), MPP) == masks).all()


def test_maps_turn_with_the_mask():
    masks = disc_labels(scattered(1, count=12, side=32), radius=3.0)[None]
    assert all(
        (encode(there, MPP) == back).all()
        for there, back in zip(turned(masks), turned(encode(masks, MPP)), strict=True)
    )


def test_nuclei_come_back_from_perfect_maps(layout_tiles):
    masks = np.asarray(layout_tiles.masks)[::4]
    again = decode(encode(masks, layout_tiles.mpp), layout_tiles.mpp)
    scores = mask_agreement(again, masks)
    assert scores["pq"] > 0.95
    assert scores["iou"] > 0.99


def test_touching_nuclei_come_back_apart():
    masks = disc_labels([(16, 12.6), (16, 19.4), (22, 16)], radius=3.6)[None]
    scores = mask_agreement(decode(encode(masks, MPP), MPP), masks)
    assert scores["f1"] == 1.0
    assert scores["sq"] > 0.95


@pytest.mark.slow
def test_a_generator_of_maps_draws_layouts(layout_tiles, tmp_path):
    patients = ["phantom:p00", "phantom:p01"]
    maps = write_maps(layout_tiles, patients, tmp_path / "maps")
    assert set(maps.patients.tolist()) == set(patients)
    assert maps.classes == layout_tiles.classes
    assert not maps.has_mask.any()
    config = map_config(minutes=20, steps=3, batch=2, network=TINY_NETWORK)
    learned = MapLayouts.fit(maps, config, out=tmp_path / "run")
    assert learned.generator.card.patients == patients
    drawn = learned.draw([0, 1, -1], steps=2)
    assert (drawn.shape, drawn.dtype) == ((3, 64, 64), np.uint16)
    with pytest.raises(InputError, match="maps of other masks"):
        write_maps(layout_tiles, patients[:1], tmp_path / "maps")
    reopened = write_maps(layout_tiles, patients, tmp_path / "maps")
    again = MapLayouts.fit(reopened, config, out=tmp_path / "run")
    assert (again.draw([0, 1, -1], steps=2) == drawn).all()


def test_every_map_of_a_batch_has_the_same_stain(layout_tiles, tmp_path):
    from nucleosynth.data.slide_stain import slide_descriptors
    from nucleosynth.diffusion.training.batches import TrainingBatches

    maps = write_maps(layout_tiles, ["phantom:p00", "phantom:p01"], tmp_path / "maps")
    rows = np.arange(len(maps))
    config = map_config(steps=1)
    batches = TrainingBatches(
        maps, rows, slide_descriptors(maps, rows), False, 8, config.drop, config.jitter, 0.0, 1.0, 0
    )
    stain = batches.draw(0)[3].stain
    assert torch.equal(stain, stain[:1].expand_as(stain))
    assert (stain[:, -1] == 1).all()
