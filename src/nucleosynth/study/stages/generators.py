"""The generators of a fit: trained here or pretrained, and their pools of synthetic tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext

if TYPE_CHECKING:
    from nucleosynth.diffusion.generator import Generator


def train(context: FitContext, job: Job) -> None:
    """Train the generator of a job on the training patients of the fit."""
    from nucleosynth.diffusion.training.generator import train_generator

    train_generator(
        context.tiles,
        context.patients.train,
        context.study.generator,
        out=context.path(job.folder),
        seed=context.seed(job.generator),
        device=context.device,
    )


def fill_pool(context: FitContext, job: Job) -> None:
    """Draw the synthetic tiles of a generator, once."""
    from nucleosynth.diffusion.synthesis import synthesise

    pool = context.path(job.folder)
    if not pool.exists():
        generator = open_generator(context, job.generator)
        synthesise(
            generator, context.tiles, pool, config=context.study.synthesis, seed=context.seed(job.generator)
        )


def pretrained_generator(study: StudyConfig) -> Generator | None:
    """Return the pretrained generator that the study names; None where it trains its own."""
    from nucleosynth.diffusion.generator import Generator

    path = study.generator.path
    return None if path is None else Generator.from_pretrained(path, device="cpu")


def open_generator(context: FitContext, number: int) -> Generator:
    """Open a generator of a fit, or the pretrained one that the study names.

    Raises
    ------
    InputError
        The generator was trained on a patient outside the training part of the fit, is of another recipe, or
        did not draw the existing pool.
    """
    from nucleosynth.diffusion.generator import Generator

    given, own = context.study.generator, context.path(context.fit.generator(number))
    path = own if given.path is None else Path(given.path)
    generator = Generator.from_pretrained(path, device=context.device)
    trained_on = generator.card.trained_on_among(context.tiles.patients.tolist())
    require_no_leakage(str(path), trained_on, context.patients.train)
    if generator.card.recipe != given.recipe:
        raise InputError(
            f"{path}: is of the recipe {generator.card.recipe}, the study says {given.recipe}; "
            f"set generator.recipe to {generator.card.recipe}"
        )
    pool = context.path(context.fit.pool(number))
    if pool.exists() and TileSet.open(pool).info["provenance"]["generator"] != generator.generator_id:
        raise InputError(
            f"{path}: is not the generator that drew {pool}; put that one back, or use a new run directory"
        )
    return generator
