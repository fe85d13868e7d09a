"""The preview of a generator: requested nuclei, and tiles of them in stains or classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK

from nucleosynth.diffusion.config import NetworkConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.preview import preview
from nucleosynth.render.outlines import PAPER

GAP, SIDE, SCALE = 2, 16, 8


def untrained(classes=(), **changes) -> Generator:
    card = ModelCard(
        list(classes),
        SIDE,
        0.5,
        True,
        ["p"],
        "hash",
        NetworkConfig.model_validate(TINY_NETWORK),
        1,
        **changes,
    )
    denoiser = build_denoiser(card)
    torch.manual_seed(0)
    for parameter in denoiser.parameters():  # fresh ones answer to no condition
        torch.nn.init.normal_(parameter, std=0.1)
    return Generator(denoiser, card)


def rows_of(picture):
    step = SIDE * SCALE + GAP
    assert (picture.shape[0] + GAP) % step == 0
    return [picture[start : start + SIDE * SCALE] for start in range(0, picture.shape[0], step)]


def test_nuclei_stand_above_their_tiles_in_each_stain():
    rows = rows_of(preview(untrained(), columns=3, stains=2, steps=2))
    assert len(rows) == 3
    assert (rows[0] == np.array(PAPER)).all(axis=-1).any()
    assert not np.array_equal(rows[1], rows[2])


@pytest.mark.parametrize(("changes", "rows"), [({}, 1 + 3), ({"seen": [0, 2]}, 1 + 2)])
def test_a_generator_of_classes_shows_those_it_was_trained_on(changes, rows):
    picture = preview(untrained(["a", "b", "c"], **changes), columns=2, steps=2)
    assert len(rows_of(picture)) == rows


def test_without_masks_there_are_no_nuclei_above():
    generator = untrained()
    generator.card = ModelCard(**{**vars(generator.card), "masks": False})
    assert len(rows_of(preview(generator, columns=2, stains=2, steps=2))) == 2
