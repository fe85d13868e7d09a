"""The generators of a fit: trained here or pretrained, their pools filled and filtered, and later scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nucleosynth.data.split import Fold, require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, NONE
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.paths import generator_folder, pool_folder, scores_folder, selection_folder
from nucleosynth.study.design.schedule import fit_arms
from nucleosynth.study.stages.primary_arm import record_test_access

if TYPE_CHECKING:
    from nucleosynth.diffusion.generator import Generator


def generate(
    study: StudyConfig,
    tiles: TileSet,
    fold: Fold,
    fit: Fit,
    *,
    out: Path,
    seed: int,
    device: str,
    chosen: str | None = None,
) -> None:
    """Train the generator of one seed, fill its pool, and let each filter of the fit's arms choose from it.

    ``chosen`` is the arm that was chosen for the fit, if that is known.
    """
    from nucleosynth.diffusion.synthesis import synthesise
    from nucleosynth.diffusion.training.generator import train_generator
    from nucleosynth.study.stages.selection import select_tiles

    arms = fit_arms(study, fit, chosen)
    filters = {arm.filter for arm in arms if arm.filter is not None}
    if study.generator.path is None:
        path = generator_folder(out, fit, seed)
        train_generator(
            tiles, fold.train, study.generator, out=path, seed=study.seed * 1000 + seed, device=device
        )
    by_class = tiles.classes and any(arm.synthetic for arm in arms)
    if not by_class and not (study.segmentation.steps and fit.inner is None):
        return
    pool = pool_folder(out, fit, seed)
    if not pool.exists():
        generator = _open_generator(study, tiles, fold, fit, out=out, seed=seed, device=device)
        synthesise(generator, tiles, pool, config=study.synthesis, seed=study.seed * 1000 + seed)
    for name in sorted(filters):
        select_tiles(
            name,
            TileSet.open(pool),
            tiles,
            fold,
            keep=study.arms.keep,
            classifier=study.classifier,
            extractor=study.fidelity.extractor,
            segmenter=_finder(study),
            judge=study.segmenter.judge,
            out=selection_folder(out, fit, seed, name),
            seed=study.seed * 1000 + seed,
            device=device,
        )


def pretrained_generator(study: StudyConfig) -> Generator | None:
    """Return the generator that the study takes; None where it trains its own."""
    from nucleosynth.diffusion.generator import Generator

    path = study.generator.path
    return None if path is None else Generator.from_pretrained(path, device="cpu")


def refuse_synthesis(study: StudyConfig, tiles: TileSet, fold: Fold, pretrained: Generator | None) -> None:
    """Refuse before hours of training a way to draw tiles that the generator will not have."""
    from nucleosynth.diffusion.synthesis import refuse_impossible
    from nucleosynth.diffusion.training.generator import untrained_card

    card = (
        pretrained.card if pretrained else untrained_card(tiles, tiles.rows_of(fold.train), study.generator)
    )
    refuse_impossible(card, study.synthesis)


def refuse_filters(study: StudyConfig, tiles: TileSet) -> None:
    """Refuse before hours of training what a filter of the study could not do after it."""
    asked = study.arms.filters
    if "typicality" in asked and study.fidelity.extractor == NONE:
        raise InputError("arms.filters: typicality needs features; name a `fidelity.extractor`")
    if "masks" not in asked:
        return
    if tiles.mpp is None or tiles.masks is None:
        missing = "masks" if tiles.masks is None else "µm/px"
        raise InputError(f"arms.filters: masks needs tiles with {missing}; {tiles.path} has none")
    if _finder(study) == study.segmenter.judge:
        raise InputError(
            f"arms.filters: masks would choose tiles by `{_finder(study)}`, which judges them; "
            "name another segmenter.make or segmenter.judge"
        )


def _finder(study: StudyConfig) -> str:
    """Who finds the nuclei of synthetic tiles to choose among them; never the judge."""
    return DEFAULT_SEGMENTER if study.segmenter.make == NONE else study.segmenter.make


def score(
    study: StudyConfig,
    tiles: TileSet,
    fold: Fold,
    fit: Fit,
    *,
    out: Path,
    seed: int,
    device: str,
    also: Sequence[TileSet] = (),
) -> None:
    """Score the generator of one seed on held-out patients; its start learned from ``also``."""
    from nucleosynth.study.stages.generator_scores import score_generator
    from nucleosynth.study.stages.morphology import compare_pool_morphology

    folder = scores_folder(out, fit, seed)
    if seed == 0:
        compare_pool_morphology(study, tiles, fold, pool=pool_folder(out, fit, seed), folder=folder)
    if (folder / "judged.json").exists():
        return
    generator = _open_generator(study, tiles, fold, fit, out=out, seed=seed, device=device)
    score_generator(
        study,
        generator,
        tiles,
        fold,
        folder=folder,
        also=also,
        before_test=lambda: record_test_access(
            out, "generator scored on the test patients", fit=fit, generator=seed
        ),
    )


def _open_generator(
    study: StudyConfig, tiles: TileSet, fold: Fold, fit: Fit, *, out: Path, seed: int, device: str
) -> Generator:
    """Open the generator of one seed, or the one that the study takes; refused where it saw a stranger."""
    from nucleosynth.diffusion.generator import Generator

    trained = generator_folder(out, fit, seed)
    path = trained if study.generator.path is None else Path(study.generator.path)
    generator = Generator.from_pretrained(path, device=device)
    require_no_leakage(str(path), generator.card.trained_on_among(tiles.patients.tolist()), fold.train)
    if generator.card.recipe != study.generator.recipe:
        raise InputError(
            f"{path}: is of the recipe {generator.card.recipe}, the study says {study.generator.recipe}; "
            f"set generator.recipe to {generator.card.recipe}"
        )
    pool = pool_folder(out, fit, seed)
    if pool.exists() and TileSet.open(pool).info["provenance"]["generator"] != generator.generator_id:
        raise InputError(
            f"{path}: is not the generator that drew {pool}; put that one back, or start again elsewhere"
        )
    return generator
