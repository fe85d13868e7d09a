"""The networks: small, local, and the same after their norms are folded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nucleosynth.segmentation.learned.config import NETWORKS
from nucleosynth.segmentation.learned.network import SegmenterNet, build_network
from nucleosynth.segmentation.learned.watershed import Cut
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, MASK_JUDGE


@pytest.fixture(params=NETWORKS)
def net(request: pytest.FixtureRequest) -> SegmenterNet:
    torch.manual_seed(0)
    made = build_network(request.param)
    made.maps(torch.randn(2, 3, 64, 64))  # running statistics other than those of a fresh norm
    return made


@pytest.mark.parametrize("recipe", NETWORKS)
def test_a_network_is_registered_under_its_own_name(recipe):
    kind = NETWORKS.get(recipe)
    assert issubclass(kind, SegmenterNet)
    assert kind.recipe == recipe
    assert isinstance(kind.cut, Cut)


def test_it_is_small(net):
    assert sum(p.numel() for p in net.parameters()) < 2e6


def test_maps_are_chances_at_the_size_of_the_input(net):
    maps = net.eval().maps(torch.randn(2, 3, 48, 64)).detach()
    assert maps.shape == (2, 2, 48, 64)
    assert 0 <= float(maps.min()) <= float(maps.max()) <= 1


def test_a_pixel_reaches_no_further_than_stated(net):
    side = 4 * net.reach // net.stride * net.stride
    pixels = torch.zeros(1, 3, side, side)
    middle = side // 2
    for corner in (0, net.stride - 1):  # where it lies in its block of the coarsest level matters
        spoilt = pixels.clone()
        spoilt[..., middle + corner, middle + corner] = torch.nan
        touched = torch.nonzero(net.eval().maps(spoilt).isnan().any(1)[0])
        assert len(touched)
        assert int((touched - middle - corner).abs().max()) <= net.reach


def test_it_moves_with_the_picture(net):
    pixels = torch.randn(1, 3, 4 * net.reach // 8 * 8, 4 * net.reach // 8 * 8)
    moved = pixels.roll((net.stride, net.stride), (2, 3))
    here, there = net.eval().maps(pixels), net.maps(moved)
    inner = slice(net.reach + net.stride, -net.reach - net.stride)
    rolled = here.roll((net.stride, net.stride), (2, 3))
    assert torch.allclose(rolled[..., inner, inner], there[..., inner, inner], atol=1e-5)


def test_folding_changes_nothing(net):
    pixels = torch.randn(1, 3, 64, 64)
    before = net.eval().maps(pixels)
    after = net.fold().maps(pixels)
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert torch.allclose(before, after, atol=1e-4)


def test_no_layer_uses_the_whole_picture(net):
    assert not [
        m for m in net.modules() if isinstance(m, (nn.GroupNorm, nn.InstanceNorm2d, nn.AdaptiveAvgPool2d))
    ]


def test_maker_and_mask_judge_differ_in_architecture():
    first, second = (set(build_network(name).state_dict()) for name in (DEFAULT_SEGMENTER, MASK_JUDGE))
    assert first - second
    assert second - first


@pytest.mark.parametrize("recipe", NETWORKS)
def test_the_loss_prefers_the_truth(recipe):
    depth = torch.zeros(1, 2, 32, 32)
    depth[:, 0, 8:24, 8:24], depth[:, 1, 8:24, 8:24] = 1.0, 9.0
    truth = (depth[:, 0] > 0).float()
    net = build_network(recipe)
    kinds = [truth, truth] if recipe == "embedded" else [1 - truth, torch.zeros_like(truth), truth]
    right = torch.stack([20 * kind - 10 for kind in kinds], 1)
    losses = []
    for logits in (right, -right):
        net.forward = lambda _, logits=logits: logits  # type: ignore[method-assign]
        losses.append(float(net.loss(torch.zeros(1, 3, 32, 32), depth)))
    assert losses[0] < 0.05
    assert losses[1] > 1
