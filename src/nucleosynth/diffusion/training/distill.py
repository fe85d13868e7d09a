"""A student of one or two steps, tuned from a trained teacher against a discriminator.

The student is the teacher's own network, tuned only at the noise levels of its sampling. At the highest level
its input is pure noise and its target the tile that the teacher draws from that noise in all of its steps. At
a lower level its input is a noised training tile, like the noised result of the step before, and its target
the tile. A discriminator with the same mask and stain as condition should classify its tiles as real.

Source: the pairs of noise and tile are those of Luhman & Luhman 2021, "Knowledge distillation in iterative
generative models", combined with an adversarial loss as in Yin et al. 2024, "Improved distribution matching
distillation". Without these pairs the student loses variety: a discriminator alone accepts a few kinds of
tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nucleosynth.data.crops import Mosaic
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import DistillConfig, Student
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import with_weights
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.discriminator import PatchDiscriminator, gradient_penalty, relativistic
from nucleosynth.diffusion.sampling.draw import draw
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.diffusion.training.batches import TrainingBatches
from nucleosynth.diffusion.training.previews import save_preview
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.runs import open_run
from nucleosynth.seeds import rng, torch_seed
from nucleosynth.training.devices import autocast, choose_device, compile_if_asked
from nucleosynth.training.loop import run_training

FIRST_LEVEL = 2.0
"""Noise level whose weights serve for the first step's errors; at its own level only colour would count."""
PENALISED = 4
WINDOW = 64
GRAIN = 0.1
Teach = Callable[[Tensor, Condition], Tensor]
"""``teach(noise, condition)``: (n, 3, h, w) noise to the standardised tiles that the teacher draws."""


class Contest(nn.Module):
    """Student and discriminator in one module, so that one loop trains, averages and stores both."""

    def __init__(self, student: Denoiser, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.student = student
        self.discriminator = discriminator


class DistillLearner:
    """The sum of the losses of both networks, for the shared loop.

    Each loss reaches only the parameters of its own network, so one backward pass and one optimiser suffice.
    """

    def __init__(
        self,
        contest: Contest,
        batches: TrainingBatches,
        config: DistillConfig,
        device: torch.device,
        teach: Teach,
    ) -> None:
        self.model: nn.Module = contest
        self._teach = teach
        self._contest = contest
        self._batches = batches
        self._config = config
        self._device = device

    def loss(self, step: int) -> Tensor:
        """Return the loss of a step's batch, each tile at one of the student's noise levels."""
        pixels, _, noise, condition = self._batches.draw(step)
        device, student = self._device, self._contest.student
        noise = noise.to(device)
        clean = student.standardise(pixels.to(device, memory_format=torch.channels_last))
        asked = condition.to(device)
        levels = torch.tensor(self._config.sigmas)
        draw = rng(self._batches.seed, "level", step)
        sigma = levels[torch.from_numpy(draw.integers(len(levels), size=len(clean)))].to(device)
        s = sigma[:, None, None, None]
        entering, target, weighed = clean + s * noise, clean, sigma
        first = sigma == levels[0]
        if bool(first.any()):
            target = clean.clone()
            target[first] = self._teach(noise[first], asked.part(first))
            entering = torch.where(first[:, None, None, None], s * noise, entering)
            weighed = torch.where(first, FIRST_LEVEL, sigma)
        with autocast(device, training=True):
            made: Tensor = student(entering, sigma, asked)
        total: Tensor = self._config.fidelity * student.losses(made - target, weighed).mean()
        if self._config.adversarial:
            seen = self._seen(step, clean, made, asked)
            total = total + self._contention(*seen) + self._penalty(step, *seen)
        return total

    def _seen(
        self, step: int, clean: Tensor, made: Tensor, asked: Condition
    ) -> tuple[Tensor, Tensor, Condition]:
        """Return the discriminator's input: plain and whitened pixels; of large tiles only a part."""
        room = max(0, clean.shape[-1] - WINDOW)
        top, left = rng(self._batches.seed, "window", step).integers(room + 1, size=2)
        window = (..., slice(top, top + WINDOW), slice(left, left + WINDOW))
        spectrum = self._contest.student.spectrum
        real, passed = (
            torch.cat([x, spectrum.whitened(x, grain=GRAIN)], dim=1)[window] for x in (clean, made)
        )
        return real, passed, replace(asked, planes=asked.planes[window])

    def _contention(self, clean: Tensor, made: Tensor, asked: Condition) -> Tensor:
        """Return the discriminator's loss and, through a frozen copy of it, the student's."""
        discriminator = self._contest.discriminator
        pictures, conditions = torch.cat([clean, made.detach()]), Condition.join([asked, asked])
        real, caught = discriminator(pictures, conditions).chunk(2)
        frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
        passed = functional_call(discriminator, frozen, (made, asked))
        return relativistic(real, caught) + self._config.adversarial * relativistic(passed, real.detach())

    def _penalty(self, step: int, clean: Tensor, made: Tensor, asked: Condition) -> Tensor:
        """Return the gradient penalty, in turn on a quarter of the real and synthetic pictures."""
        share = slice(step % min(PENALISED, len(clean)), None, PENALISED)
        some = asked.part(share)
        pictures = torch.cat([clean[share], made.detach()[share]]).requires_grad_()
        logits = self._contest.discriminator(pictures, Condition.join([some, some]))
        return self._config.penalty * gradient_penalty(logits, pictures)


def distill(
    teacher: Generator,
    tiles: TileSet,
    config: DistillConfig,
    *,
    out: Path,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Tune a student on the tiles that its teacher was trained on, or continue the run in ``out``.

    Parameters
    ----------
    tiles
        The teacher's own TileSet; only tiles of the teacher's training patients are read.
    out
        Run directory; the student, again a generator, appears in ``out/generator``.

    Returns
    -------
    The directory of the student.

    Raises
    ------
    InputError
        The teacher is itself a student, or was not trained on the tiles.
    WorkError
        The loss stays not a number.
    """
    card = teacher.card
    _require_own_tiles(card, tiles)
    settings = {
        "distill": config.model_dump(mode="json"),
        "teacher": teacher.generator_id,
        "seed": seed,
        "tileset": tiles.content_hash,
        "patients": card.patients,
    }
    path = out / "generator"
    with open_run(out, kind="student", config=settings) as run:
        if run.done:
            return path
        target = choose_device(device)
        rows = tiles.rows_of(card.patients)
        descriptors = slide_descriptors(tiles, rows)
        own = Student(teacher=teacher.generator_id, sigmas=config.sigmas)
        card = replace(card, student=own)
        batches = TrainingBatches(
            tiles,
            rows,
            descriptors,
            use_masks=card.masks,
            size=config.batch,
            drop=config.drop,
            jitter=config.jitter,
            p_mean=0.0,
            p_std=0.0,
            seed=seed,
            mosaic=Mosaic(tiles, rows),
        )
        torch.manual_seed(torch_seed(seed, "weights"))
        discriminator = PatchDiscriminator(classes=len(card.classes), width=config.width)
        start = with_weights(card, teacher.denoiser.state_dict())
        compile_if_asked(start.network)
        contest = Contest(start, discriminator).to(memory_format=torch.channels_last)
        learner = DistillLearner(contest, batches, config, target, _teaching(teacher, target))

        def student(weights: dict[str, Tensor], card: ModelCard) -> Generator:
            kept = {n.removeprefix("student."): v for n, v in weights.items() if n.startswith("student.")}
            return Generator(with_weights(card, kept), card)

        def preview(step: int, ema: dict[str, Tensor]) -> None:
            shown = student(ema, card).to(device)
            save_preview(
                shown, tiles, rows, descriptors, run.path / "previews" / f"step-{step:08d}.png", seed
            )

        trained = run_training(learner, run, config.optimisation, seed=seed, device=target, preview=preview)
        made = student(trained.ema, replace(card, steps=trained.steps))
        made.save_pretrained(path)
        summary = {"steps": trained.steps, "tiles_seen": trained.steps * config.batch}
        write_json(run.path / "summary.json", summary)
        run.finish(["generator", "summary.json"])
    return path


def _teaching(teacher: Generator, device: torch.device) -> Teach:
    """Return a function that draws with the teacher's own sampling, for the student's conditions."""
    plan = resolve_sampling(teacher.card)
    denoiser = teacher.denoiser.to(device)

    @torch.no_grad()
    def teach(noise: Tensor, asked: Condition) -> Tensor:
        with autocast(device):
            return draw(plan, denoiser, asked, lambda _step: noise).float()

    return teach


def _require_own_tiles(card: ModelCard, tiles: TileSet) -> None:
    """Refuse a teacher that is a student, and tiles that the teacher was not trained on."""
    if card.student is not None:
        raise InputError("distill: the teacher is itself a student; give the generator it was distilled from")
    if not card.recipe.conditioned or card.predicts != "edm":
        raise InputError(
            f"distill: the teacher is of the recipe {card.recipe} with objective {card.predicts}; "
            "train one of unified with edm"
        )
    if tiles.size != (card.size, card.size):
        raise InputError(
            f"{tiles.path}: tiles are {tiles.size[0]} px, the teacher makes {card.size} px; give its tiles"
        )
    missing = sorted(set(card.patients) - set(tiles.patients.tolist()))
    if missing:
        raise InputError(
            f"{tiles.path}: no tile of the teacher's patient {missing[0]}; give its training tiles"
        )
    if tiles.content_hash != card.content_hash:
        raise InputError(f"{tiles.path}: not the tiles that the teacher was trained on; give those")
