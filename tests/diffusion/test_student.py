"""How a student is sampled, and how its card is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.phantoms import TINY_NETWORK

from nucleosynth.diffusion.config import DistillConfig, NetworkConfig, Student
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.sampling.draw import noise_levels
from nucleosynth.diffusion.sampling.plan import SamplingPlan, resolve_sampling
from nucleosynth.diffusion.sampling.solvers import consistency, dpmpp_2m
from nucleosynth.errors import InputError

STUDENT = Student(teacher="abc", sigmas=(60.0, 2.0))


def generator(student: Student | None = STUDENT) -> Generator:
    torch.manual_seed(0)
    network = NetworkConfig.model_validate(TINY_NETWORK)
    card = ModelCard(["a", "b"], 16, 1.0, True, ["p:1"], "hash", network, 4, student=student)
    denoiser = build_denoiser(card, mean=torch.full((3,), 0.6), std=torch.full((3,), 0.2))
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return Generator(denoiser, card)


def test_the_sampler_renoises_each_estimate_to_the_next_level():
    """A denoiser that halves its input, by hand: ((n0 * 4) / 2 + n1 * 2) / 2."""
    levels = []

    def halve(x, sigma):
        levels.append(sigma.tolist())
        return x / 2

    noises = torch.randn(2, 3, 3, 8, 8)
    made = consistency(halve, torch.tensor([4.0, 2.0, 0.0]), lambda step: noises[step])
    assert torch.allclose(made, noises[0] + noises[1])
    assert levels == [[4.0] * 3, [2.0] * 3]


def test_one_step_is_one_estimate_from_noise_as_in_every_sampler():
    def halve(x, sigma):
        return x / 2

    noise, sigmas = torch.randn(2, 3, 8, 8), torch.tensor([4.0, 0.0])
    made = consistency(halve, sigmas, lambda step: noise)
    assert torch.equal(made, dpmpp_2m(halve, sigmas, lambda step: noise))


def asked(student: Student | None, **wanted) -> SamplingPlan:
    return resolve_sampling(generator(student).card, **wanted)


def test_a_student_is_sampled_its_own_way_and_a_teacher_as_before():
    teacher = asked(None)
    assert teacher.stated == {"sampler": "spectral", "steps": 10, "sigma_scale": 1}
    own, denoiser = asked(STUDENT), generator().denoiser
    assert own.stated == {"sampler": "consistency", "steps": 2, "sigma_scale": 1}
    assert noise_levels(own, denoiser).tolist() == [60, 2, 0]
    assert noise_levels(asked(STUDENT, steps=1), denoiser).tolist() == [60, 0]
    assert asked(Student(teacher="abc", sigmas=(60.0, 8.0, 2.0))).steps == 3
    assert asked(STUDENT, sampler="consistency").steps == 2


@pytest.mark.parametrize(
    ("student", "wanted", "words"),
    [
        (STUDENT, {"sampler": "dpmpp-2m"}, "is a student; give sampler consistency, at most 2 steps"),
        (STUDENT, {"steps": 3}, "at most 2 steps"),
        (STUDENT, {"sigma_scale": 1.5}, "sigma_scale 1"),
        (STUDENT, {"steps": 0}, "0 steps; expected 1"),
        (None, {"sampler": "consistency"}, "is for students"),
        (STUDENT, {"sampler": "euler"}, "unknown sampler 'euler'"),
    ],
)
def test_what_it_was_not_tuned_for_is_refused(student, wanted, words):
    with pytest.raises(InputError, match=words):
        asked(student, **wanted)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_tile_depends_on_its_index_and_not_on_its_batch(steps):
    made = generator()
    masks = np.random.default_rng(0).integers(0, 3, (5, 16, 16))
    whole = made.sample([0, 1, None, 1, 0], masks, steps=steps, seed=4)
    pieces = made.sample([0, 1, None, 1, 0], masks, steps=steps, seed=4, batch=2)
    assert np.abs(whole.astype(int) - pieces).max() <= 1
    alone = made.sample([1], masks[3:4], steps=steps, seed=4, indices=[3])
    assert np.abs(alone[0].astype(int) - whole[3]).max() <= 1
    assert np.array_equal(whole, made.sample([0, 1, None, 1, 0], masks, steps=steps, seed=4))


def test_the_card_of_a_student_is_kept_and_one_without_is_no_student(tmp_path):
    made = generator()
    made.save_pretrained(tmp_path / "student")
    loaded = Generator.from_pretrained(tmp_path / "student", device="cpu")
    assert loaded.card == made.card
    assert np.array_equal(loaded.sample([0, 1]), made.sample([0, 1], steps=2, sampler="consistency"))
    config = tmp_path / "student" / "config.json"
    stored = json.loads(config.read_text())
    assert stored["student"] == {"teacher": "abc", "sigmas": [60.0, 2.0]}
    del stored["student"]
    config.write_text(json.dumps(stored))
    assert Generator.from_pretrained(tmp_path / "student", device="cpu").card.student is None
    config.write_text(json.dumps({**stored, "student": {"teacher": "abc"}}))
    with pytest.raises(InputError, match="`sigmas` is missing"):
        Generator.from_pretrained(tmp_path / "student", device="cpu")


@pytest.mark.parametrize("sigmas", [[2.0, 60.0], [60.0, 60.0], [60.0, 0.0], []])
def test_noise_levels_that_do_not_fall_are_refused(sigmas):
    with pytest.raises(ValueError, match=r"sigmas|at least 1"):
        DistillConfig.model_validate({"sigmas": sigmas})
