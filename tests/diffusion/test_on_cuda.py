"""Training and sampling on a GPU that is not there: tensors without contents, which know their device.

A tensor that was left on the CPU raises as it would with a real GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from nucleosynth.diffusion.config import NetworkConfig, Student
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.recipes import RECIPES
from nucleosynth.diffusion.recipes.samplers import SAMPLERS
from nucleosynth.diffusion.sampling.draw import draw
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.diffusion.training.batches import denoising_loss
from nucleosynth.training.devices import COMPILE

CUDA = torch.device("cuda", 0)
SIZE, COUNT = 16, 3


def model(recipe: str = "unified", student: Student | None = None) -> Generator:
    torch.manual_seed(0)
    network = NetworkConfig.model_validate(TINY_NETWORK)
    card = ModelCard(["a", "b"], SIZE, 1.0, True, ["p:1"], "hash", network, 4, recipe=recipe, student=student)
    denoiser = build_denoiser(card)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return Generator(denoiser, card)


def condition() -> Condition:
    masks = torch.zeros(COUNT, SIZE, SIZE, dtype=torch.int32)
    masks[:, 4:9, 5:11] = 1
    given = torch.ones(COUNT, dtype=torch.bool)
    return Condition(
        torch.tensor([0, 1, -1]), mask_planes(masks, given), stain_vector(torch.ones(COUNT, 6), given)
    )


def no_contents() -> FakeTensorMode:
    """Return the mode in which a GPU need not be there; models are built before it."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def test_what_is_left_behind_is_found():
    with no_contents(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(2).to(CUDA) + torch.ones(2)


@pytest.mark.parametrize("recipe", ["unified", "mask-guided"])  # per-class asks labels for their values
def test_the_loss_is_computed_on_the_device(recipe):
    denoiser, given = model(recipe).denoiser, condition()
    pixels, noise = torch.ones(2, COUNT, 3, SIZE, SIZE)
    with no_contents():
        loss = denoising_loss(
            denoiser.to(CUDA), (pixels, torch.ones(COUNT), noise, given), CUDA, training=True
        )
    assert (loss.device, loss.dtype, loss.shape) == (CUDA, torch.float32, ())


@pytest.mark.slow
@pytest.mark.parametrize("variation", [None, 2.0])
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "consistency"])
def test_every_sampler_draws_on_the_device(sampler, variation):
    own, given = model(), condition()
    wanted = {"sampler": sampler, "steps": 3, "guidance": {"class": 2.0, "mask": 1.5}, "variation": variation}
    made = drawn(own, given, wanted)
    assert (made.device, made.dtype, made.shape) == (CUDA, torch.float32, (COUNT, 3, SIZE, SIZE))


def test_a_student_draws_on_the_device():
    made = drawn(model(student=Student(teacher="abc", sigmas=(40.0, 2.0, 0.5))), condition(), {})
    assert (made.device, made.dtype, made.shape) == (CUDA, torch.float32, (COUNT, 3, SIZE, SIZE))


def drawn(own: Generator, given: Condition, wanted: dict[str, Any]) -> Tensor:
    plan = resolve_sampling(own.card, **wanted)
    with no_contents():
        noise = torch.ones(COUNT, 3, SIZE, SIZE).to(CUDA)
        origins = noise if plan.variation else None
        return draw(plan, own.denoiser.to(CUDA), given.to(CUDA), lambda _step: noise, origins=origins)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("recipe", RECIPES)
def test_half_precision_leaves_estimates_whole(recipe, dtype):
    """The dtypes of CUDA's autocast, on the CPU, at the highest and the lowest level."""
    denoiser, given, x = model(recipe).denoiser, condition(), torch.randn(COUNT, 3, SIZE, SIZE)
    for level in (40.0, 0.03):
        sigma = torch.full((COUNT,), level)
        with torch.inference_mode():
            exact = denoiser(level * x, sigma, given)
            with torch.autocast("cpu", dtype=dtype):
                estimate = denoiser(level * x, sigma, given)
        assert (estimate.dtype, estimate.shape) == (torch.float32, x.shape)
        scale = float(exact.std())
        assert float((estimate - exact).abs().max()) < 0.1 * scale


@pytest.mark.slow
def test_a_compiled_generator_draws_the_same(monkeypatch, tmp_path):
    plain = model()
    plain.save_pretrained(tmp_path / "generator")
    masks = np.zeros((2, SIZE, SIZE), np.int32)
    asked = {"labels": [0, 1], "masks": masks, "steps": 2, "guidance": {"mask": 2.0}}
    monkeypatch.setenv(COMPILE, "eager")
    compiled = Generator.from_pretrained(tmp_path / "generator", device="cpu")
    assert compiled.denoiser.network._compiled_call_impl is not None
    assert np.array_equal(compiled.sample(**asked), plain.to("cpu").sample(**asked))
    assert compiled.generator_id == plain.generator_id
    compiled.save_pretrained(tmp_path / "again")
    monkeypatch.delenv(COMPILE)
    again = Generator.from_pretrained(tmp_path / "again", device="cpu")
    assert again.card == plain.card
