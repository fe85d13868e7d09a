"""Mask planes, flips and drops, on cases that can be drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from nucleosynth.diffusion.model.conditioning import (
    DISTANCE_CAP,
    Condition,
    dihedral,
    drop_planes,
    mask_planes,
    stain_vector,
)


def square(size: int = 9, low: int = 2, high: int = 7) -> torch.Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.int64)
    mask[0, low:high, low:high] = 5
    return mask


def test_planes_of_a_square_by_hand():
    interior, boundary, distance, present = mask_planes(square(), torch.tensor([True]))[0]
    assert interior[4, 4] == 1
    assert interior[0, 0] == -1
    assert boundary[2, 4] == 1
    assert boundary[4, 4] == -1
    assert boundary[0, 0] == -1
    assert (present == 1).all()
    depth = (distance + 1) * DISTANCE_CAP / 2
    assert depth[4, [0, 2, 3, 4, 5, 6, 8]].tolist() == [0, 1, 2, 3, 2, 1, 0]


def test_touching_nuclei_keep_a_boundary_between_them():
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    mask[0, :, :4], mask[0, :, 4:] = 1, 2
    boundary = mask_planes(mask, torch.tensor([True]))[0, 1]
    assert (boundary[:, 3:5] == 1).all()
    assert (boundary[:, [0, 1, 6, 7]] == -1).all()


def test_distance_follows_the_chessboard_and_city_block_distances():
    rng = np.random.default_rng(0)
    blob = ndimage.gaussian_filter(rng.standard_normal((64, 64)), 5) > 0.02
    mask = torch.from_numpy(blob.astype(np.int64))[None]
    depth = (mask_planes(mask, torch.tensor([True]))[0, 2].numpy() + 1) * DISTANCE_CAP / 2
    padded = np.pad(blob, 1, mode="edge")
    chess = ndimage.distance_transform_cdt(padded, "chessboard")[1:-1, 1:-1].clip(max=DISTANCE_CAP)
    block = ndimage.distance_transform_cdt(padded, "taxicab")[1:-1, 1:-1].clip(max=DISTANCE_CAP)
    inner = slice(9, -9)
    assert (depth[inner, inner] >= np.minimum(chess, block)[inner, inner] - 1e-6).all()
    assert (depth[inner, inner] <= np.maximum(chess, block)[inner, inner] + 1e-6).all()


def test_no_mask_given_is_not_no_nuclei_here():
    masks = torch.zeros(2, 8, 8)
    planes = mask_planes(masks, torch.tensor([True, False]))
    assert (planes[0, 0] == -1).all()
    assert (planes[1] == 0).all()
    assert torch.equal(drop_planes(planes[:1], torch.tensor([True]))[0], planes[1])


def test_the_eight_turns_differ_and_planes_turn_with_the_mask():
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    mask[0, 1:3, 2:7], mask[0, 5, 1] = 1, 2
    turned = dihedral(mask.expand(8, -1, -1).contiguous(), torch.arange(8))
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    given = torch.ones(8, dtype=torch.bool)
    planes = mask_planes(mask, given[:1]).expand(8, -1, -1, -1).contiguous()
    assert torch.equal(mask_planes(turned, given)[:, :2], dihedral(planes, torch.arange(8))[:, :2])


@pytest.mark.parametrize("name", ["class", "mask", "stain"])
def test_dropping_one_condition_leaves_the_others(name):
    condition = Condition(
        torch.tensor([1]),
        mask_planes(square(), torch.tensor([True])),
        stain_vector(torch.ones(1, 6), torch.tensor([True])),
    )
    without = condition.without(name)
    same = {
        "class": torch.equal(without.label, condition.label),
        "mask": torch.equal(without.planes, condition.planes),
        "stain": torch.equal(without.stain, condition.stain),
    }
    assert same == {key: key != name for key in same}
