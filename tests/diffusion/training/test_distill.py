"""Distillation: gradients of both networks, what stays of the teacher, resume, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.phantoms import TINY_NETWORK, phantom_tileset

from nucleosynth.cli import main
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import DistillConfig, GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.discriminator import PatchDiscriminator
from nucleosynth.diffusion.training.batches import TrainingBatches
from nucleosynth.diffusion.training.distill import FIRST_LEVEL, Contest, DistillLearner, _teaching, distill
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError
from nucleosynth.files import read_jsonl
from nucleosynth.seeds import normal

CPU = torch.device("cpu")
CONFIG = DistillConfig(steps=4, batch=4, width=8)
TEACHER = GeneratorConfig.model_validate({"steps": 3, "batch": 4, "network": TINY_NETWORK})


@pytest.fixture(scope="module")
def patients(tiles):
    return sorted(set(tiles.patients.tolist()))[:5]


@pytest.fixture(scope="module")
def trained(tiles, patients, tmp_path_factory):
    return train_generator(tiles, patients, TEACHER, out=tmp_path_factory.mktemp("t") / "run", device="cpu")


@pytest.fixture
def teacher(trained):
    return Generator.from_pretrained(trained, device="cpu")


def learner(tiles, student, config, *, drop=0.0):
    rows = tiles.rows_of(sorted(set(tiles.patients.tolist()))[:5])
    batches = TrainingBatches(
        tiles, rows, slide_descriptors(tiles, rows), True, config.batch, drop, 0.0, 0.0, 0.0, 1
    )
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(classes=3, width=config.width)
    return DistillLearner(Contest(student, discriminator), batches, config, CPU, no_tile)


def no_tile(noise, asked):
    """Stand for a teacher that draws nothing but the mean colour."""
    assert len(asked.label) == len(noise) > 0
    return torch.zeros_like(noise)


class Perfect(torch.nn.Module):
    """Knows the tile that was noised, and what its teacher draws from noise, up to an error of its own."""

    def __init__(self, batches_of, error: float) -> None:
        super().__init__()
        self.error = torch.nn.Parameter(torch.tensor(error))
        self.clean = batches_of

    def losses(self, error, sigma):
        """Weigh errors as the mean square of what is noised, and keep the levels they are weighed at."""
        self.levels = sigma
        return (error / sigma[:, None, None, None]).square().mean(dim=(1, 2, 3))

    def standardise(self, pixels):
        self.clean = pixels.float() / 255
        return self.clean

    def forward(self, x, sigma, condition):
        s = sigma[:, None, None, None]
        alone = s == 40
        target = torch.where(alone, 0.0, self.clean)
        return target + self.error * torch.where(alone, FIRST_LEVEL, s)


def test_a_perfect_student_stays_and_another_pays_the_square_of_its_error(tiles):
    config = DistillConfig(steps=1, batch=4, width=8, adversarial=0)
    perfect = learner(tiles, Perfect(None, 0.0), config)
    loss = perfect.loss(0)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(perfect.model.student.error.grad) == 0
    assert float(learner(tiles, Perfect(None, 0.3), config).loss(0).detach()) == pytest.approx(0.09, rel=1e-4)


def test_the_lesson_of_a_noise_is_the_tile_that_the_teacher_draws_from_it(teacher, tiles):
    shape = (3, *tiles.size)
    masks = tiles.masks[:2].astype("int32")
    condition = Condition(
        torch.tensor([0, 2]),
        mask_planes(torch.from_numpy(masks), torch.ones(2, dtype=torch.bool)),
        stain_vector(torch.zeros(2, 6), torch.ones(2, dtype=torch.bool)),
    )
    noise = torch.from_numpy(normal(3, "noise", [5, 6], shape))
    taught = teacher.denoiser.to_pixels(_teaching(teacher, CPU)(noise, condition)).permute(0, 2, 3, 1)
    drawn = teacher.sample([0, 2], masks, stain=[0.0] * 6, seed=3, indices=[5, 6])
    assert abs(taught.numpy().astype(int) - drawn).max() <= 1


def test_each_network_learns_from_its_own_loss_alone(tiles, teacher):
    """Weights of the student's terms scale its gradient and leave the discriminator's as it is."""
    torch.manual_seed(1)
    for parameter in teacher.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    grads = []
    for factor in (1.0, 2.0):  # exact in any precision
        config = DistillConfig(steps=1, batch=4, width=8, adversarial=factor, fidelity=factor)
        one = learner(tiles, teacher.denoiser, config)
        one.model.zero_grad()
        one.loss(0).backward()
        grads.append({n: p.grad.clone() for n, p in one.model.named_parameters() if p.grad is not None})
    names = {name.partition(".")[0] for name in grads[0]}
    assert names == {"student", "discriminator"}
    for name, first in grads[0].items():
        expected = 2 * first if name.startswith("student") else first
        assert torch.allclose(grads[1][name], expected, rtol=1e-3, atol=1e-7), name


def test_a_student_keeps_its_teachers_card_and_names_the_teacher(tiles, teacher, patients, tmp_path):
    path = distill(teacher, tiles, CONFIG, out=tmp_path / "run", device="cpu")
    made = Generator.from_pretrained(path, device="cpu")
    assert made.card.student is not None
    assert made.card.student.teacher == teacher.generator_id != made.generator_id
    assert made.card.student.sigmas == CONFIG.sigmas
    assert made.card.steps == 4
    assert made.card.patients == patients
    assert replace(made.card, student=None, steps=teacher.card.steps) == teacher.card
    assert list((tmp_path / "run" / "previews").glob("*.png"))
    assert distill(teacher, tiles, CONFIG, out=tmp_path / "run", device="cpu") == path
    with pytest.raises(InputError, match="other settings"):
        distill(teacher, tiles, CONFIG, out=tmp_path / "run", seed=1, device="cpu")


def test_no_tile_of_another_patient_is_read(tiles, teacher, patients, tmp_path, monkeypatch):
    read = set()
    original = TrainingBatches.draw

    def noted(self, step):
        read.update(self.tiles.patients[self.rows].tolist())
        return original(self, step)

    monkeypatch.setattr(TrainingBatches, "draw", noted)
    distill(teacher, tiles, CONFIG, out=tmp_path / "run", device="cpu")
    assert read == set(patients) < set(tiles.patients.tolist())


@pytest.mark.slow
def test_a_resumed_run_equals_an_unbroken_one(tiles, teacher, tmp_path, monkeypatch):
    config = DistillConfig(steps=30, batch=2, width=8)
    monkeypatch.setitem(
        distill.__globals__, "run_training", _checkpointed(distill.__globals__["run_training"])
    )
    whole = distill(teacher, tiles, config, out=tmp_path / "whole", device="cpu")
    original = DistillLearner.loss

    def breaking(self, step):
        if step == 27:
            raise KeyboardInterrupt
        return original(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DistillLearner, "loss", breaking)
        distill(teacher, tiles, config, out=tmp_path / "broken", device="cpu")
    assert [p.name for p in (tmp_path / "broken" / "checkpoints").iterdir()] == ["step-00000025"]
    resumed = distill(teacher, tiles, config, out=tmp_path / "broken", device="cpu")
    ids = [Generator.from_pretrained(path, device="cpu").generator_id for path in (whole, resumed)]
    assert ids[0] == ids[1] != teacher.generator_id
    losses = [[r["loss"] for r in read_jsonl(tmp_path / n / "metrics.jsonl")] for n in ("whole", "broken")]
    assert losses[0] == losses[1]


def _checkpointed(fit):
    """The loop with a checkpoint at every record, as otherwise only a minute brings."""

    def wrapped(*arguments, **keywords):
        return fit(*arguments, checkpoint_seconds=0.0, **keywords)

    return wrapped


@pytest.mark.slow
def test_teachers_and_tiles_that_do_not_fit_are_refused(tiles, teacher, tmp_path):
    other_size = phantom_tileset(tmp_path / "large", tiles=16, patients=8, size=32)
    with pytest.raises(InputError, match="tiles are 32 px, the teacher makes 16 px"):
        distill(teacher, other_size, CONFIG, out=tmp_path / "run")
    fewer = phantom_tileset(tmp_path / "fewer", tiles=8, patients=2)
    with pytest.raises(InputError, match=r"no tile of the teacher's patient \S+; give its training"):
        distill(teacher, fewer, CONFIG, out=tmp_path / "run")
    others = phantom_tileset(tmp_path / "others", tiles=64)
    with pytest.raises(InputError, match="not the tiles that the teacher was trained on"):
        distill(teacher, others, CONFIG, out=tmp_path / "run")
    path = distill(teacher, tiles, CONFIG, out=tmp_path / "student", device="cpu")
    with pytest.raises(InputError, match="the teacher is itself a student"):
        distill(Generator.from_pretrained(path, device="cpu"), tiles, CONFIG, out=tmp_path / "again")
    noise = Generator(teacher.denoiser, replace(teacher.card, objective="epsilon"))
    with pytest.raises(
        InputError, match="recipe unified with objective epsilon; train one of unified with edm"
    ):
        distill(noise, tiles, CONFIG, out=tmp_path / "again")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "again").exists()


def test_from_the_command_line_to_tiles_in_two_steps(tiles, trained, tmp_path, capsys):
    words = ["--distill.steps=2", "--distill.batch=2", "--distill.width=8", "--device", "cpu"]
    assert main(["distill", str(trained), str(tiles.path), *words, "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "generator")
    request = ["sample", str(tmp_path / "run"), "--donors", str(tiles.path), "--tiles", "3"]
    assert main([*request, "--out", str(tmp_path / "pool")]) == 0
    pool = TileSet.open(tmp_path / "pool")
    assert [(t.sampler, t.steps) for t in pool.tiles()] == [("consistency", 2)] * 3
    assert main([*request, "--steps", "10", "--out", str(tmp_path / "ten")]) == 2
    assert "is a student; give sampler consistency, at most 2 steps" in capsys.readouterr().err
    assert not (tmp_path / "ten").exists()


def test_one_noise_level_needs_no_brackets():
    assert DistillConfig.model_validate({"sigmas": 5}).sigmas == (5.0,)
