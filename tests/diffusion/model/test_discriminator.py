"""The discriminator and its losses on cases solved by hand."""

from __future__ import annotations

import math

import pytest
import torch

from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.discriminator import PatchDiscriminator, gradient_penalty, relativistic


def condition(n=2, size=16, label=0):
    masks = torch.zeros(n, size, size)
    masks[:, 4:9, 5:11] = 1
    return Condition(
        torch.full((n,), label),
        mask_planes(masks, torch.ones(n, dtype=torch.bool)),
        stain_vector(torch.zeros(n, 6), torch.ones(n, dtype=torch.bool)),
    )


def test_alike_patches_cost_log_two_and_a_sure_verdict_nothing():
    real = torch.tensor([[0.3, -2.0]])
    assert float(relativistic(real, real)) == pytest.approx(math.log(2))
    assert float(relativistic(real + 30, real)) == pytest.approx(0, abs=1e-6)
    assert float(relativistic(real, real + 30)) == pytest.approx(30)


def test_what_all_patches_share_says_nothing():
    """A logit is only ever compared with that of the other picture in its place."""
    real, made, shift = torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 5)
    assert torch.allclose(relativistic(real + shift, made + shift), relativistic(real, made))


def test_the_penalty_is_the_squared_slope_of_a_patch():
    pictures = torch.randn(3, 2, 4, 4, requires_grad=True)
    weight = torch.randn(2, 4, 4)
    logits = (pictures * weight).flatten(1).sum(1, keepdim=True)
    assert float(gradient_penalty(logits, pictures)) == pytest.approx(float(weight.square().sum()), rel=1e-5)


def test_every_condition_and_pixel_is_seen_on_three_grids():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(classes=2, width=8)
    pictures, asked = torch.randn(2, 6, 16, 16), condition()
    logits = discriminator(pictures, asked)
    assert logits.shape == (2, 8**2 + 4**2 + 2**2)
    for other in (condition(label=1), asked.without("class"), asked.without("mask"), asked.without("stain")):
        assert not torch.allclose(discriminator(pictures, other), logits)
    pictures.requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(pictures, asked).square().sum(), pictures)
    assert bool((slope != 0).all())


def test_each_tile_is_discriminated_alone():
    discriminator = PatchDiscriminator(classes=0, width=8)
    pictures = torch.randn(3, 6, 16, 16)
    together = discriminator(pictures, condition(3, label=-1))
    alone = discriminator(pictures[1:2], condition(1, label=-1))
    assert torch.allclose(together[1:2], alone, atol=1e-5)
