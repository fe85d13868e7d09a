"""Checks before hours of training, for errors that would otherwise occur after them."""

from __future__ import annotations

from collections.abc import Mapping

from nucleosynth.data.split import Fold, Split
from nucleosynth.data.test_access import require_access_log
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.stages.filters import refuse_filters
from nucleosynth.study.stages.generator_scores import mask_judge
from nucleosynth.study.stages.leakage import refuse_leakage
from nucleosynth.study.stages.primary_arm import refuse_choice


def refuse_early(
    study: StudyConfig,
    tiles: TileSet,
    split: Split,
    fits: Mapping[Fit, Fold],
    *,
    pretrained: ModelCard | None,
) -> None:
    """Refuse a study that would fail later, or that would break a rule.

    Parameters
    ----------
    fits
        Every fit with its patients.
    pretrained
        Card of the pretrained generator that the study names, None if it trains its own.

    Raises
    ------
    InputError
        The first error found, in one line.
    """
    mask_judge(study, tiles)
    refuse_filters(study, tiles)
    refuse_choice(study, tiles, fits)
    refuse_leakage(study, tiles, split, fits)
    refuse_sampling(study, tiles, next(iter(fits.values())), pretrained)
    require_access_log()


def refuse_sampling(study: StudyConfig, tiles: TileSet, fold: Fold, pretrained: ModelCard | None) -> None:
    """Refuse sampling settings that the generator does not support."""
    from nucleosynth.diffusion.sampling.plan import resolve_sampling
    from nucleosynth.diffusion.training.generator import untrained_card

    card = pretrained or untrained_card(tiles, tiles.rows_of(fold.train), study.generator)
    resolve_sampling(card, **study.synthesis.sampling, variation=study.synthesis.variation)
