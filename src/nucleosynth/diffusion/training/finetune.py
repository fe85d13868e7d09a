"""Training that starts from a trained generator: few tiles of one's own go further."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor

from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import PRIOR, PRIORS, GeneratorConfig, InitialWeights, NetworkConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import measured
from nucleosynth.errors import InputError

FAR = 1.5
LABELS = "label.weight"
_log = logging.getLogger(__name__)


def load_initial_weights(config: GeneratorConfig, tiles: TileSet, patients: set[str]) -> Generator:
    """Load the generator that ``config.start`` names, one that training on these tiles can start from.

    Parameters
    ----------
    patients
        Whom training reads. A start that saw another patient of these tiles is refused; of the priors, the
        one of the nearest scale that did not is taken.

    Raises
    ------
    InputError
        No generator, a student, one of another recipe or network, or one that saw a held-out patient.
    """
    held_out = set(tiles.patients.tolist()) - patients
    names = PRIORS if config.start == PRIOR else (config.start,)
    starts = [(name, Generator.from_pretrained(name, device="cpu")) for name in names]
    refused: dict[str, str] = {}
    for name, start in sorted(starts, key=lambda named: _times_off(tiles, named[1].card)):
        leaked = sorted(held_out & set(start.card.trained_on))
        if not leaked:
            break
        refused[name] = f"was trained on patient {leaked[0]}, who is held out in {tiles.path}"
    else:
        raise InputError(
            f"generator.start {name}: {refused[name]}; start from none, or from one that saw no held-out "
            "patient"
        )
    for other, refusal in refused.items():
        _log.warning("%s %s; starting from %s", other, refusal, name)
    _log.info("%s: training starts from %s", tiles.path, name)
    _refuse_misfit(config, start.card, name=name)
    _warn_of_scale(tiles, start.card, name=name)
    return start


def _refuse_misfit(config: GeneratorConfig, card: ModelCard, *, name: str) -> None:
    """Refuse a start that is a student, of another recipe or of another network."""
    if card.student is not None:
        raise InputError(
            f"generator.start {name}: is a student; start from the generator it was distilled from"
        )
    objective, theirs = config.predicts, card.predicts
    if (card.recipe, theirs) != (config.recipe, objective):
        raise InputError(
            f"generator.start {name}: is of the recipe {card.recipe} with objective {theirs}, the training "
            f"of {config.recipe} with {objective}; start from none, or from one of the same"
        )
    network = _network(card)
    for key, usual in NetworkConfig():
        asked, own = getattr(config.network, key), getattr(network, key)
        if asked not in (usual, own):
            raise InputError(
                f"generator.network.{key}: {asked}, but {name} has {own}; leave it out, or start from none"
            )


def _times_off(tiles: TileSet, card: ModelCard) -> float:
    """How many times coarser or finer the tiles are than those learned; 1 where either is unknown."""
    if not tiles.mpp or not card.mpp:
        return 1.0
    return max(tiles.mpp / card.mpp, card.mpp / tiles.mpp)


def _warn_of_scale(tiles: TileSet, card: ModelCard, *, name: str) -> None:
    if card.mpp and _times_off(tiles, card) > FAR:
        _log.warning(
            "generator.start %s: learned tissue at %g µm/px, these tiles are at %g; nuclei have another size "
            "in px, so it brings little outside %.2g to %.2g",
            name,
            card.mpp,
            tiles.mpp,
            card.mpp / FAR,
            card.mpp * FAR,
        )


def fine_tuned_card(card: ModelCard, start: Generator) -> ModelCard:
    """Return the card of a model that starts from another: its network, and whom it saw."""
    record = InitialWeights(
        generator=start.generator_id, name=start.shipped_name, patients=tuple(start.card.trained_on)
    )
    return replace(card, network=_network(start.card), start=record)


def fine_tuned_denoiser(card: ModelCard, start: Generator, pictures: Tensor) -> Denoiser:
    """Build the denoiser of a card with the weights of a start.

    A class that the start knows by the same name keeps what it learned; another begins as "no class given".
    How colours are standardised and the spectrum are measured anew: what is linear in these tiles, colour and
    layout above all, is right before the first step.

    Parameters
    ----------
    pictures
        (k, 3, n, n) training tiles, float 0-255.
    """
    denoiser = build_denoiser(card, **measured(pictures))
    weights = dict(start.denoiser.network.state_dict())
    if LABELS in weights:
        weights[LABELS] = _label_rows(weights[LABELS], start.card.classes, card.classes)
    denoiser.network.load_state_dict(weights)
    return denoiser


def _label_rows(rows: Tensor, known: list[str], wanted: list[str]) -> Tensor:
    """Pick the embedding rows of classes; row 0 is "no class given"."""
    places = [0, *(known.index(name) + 1 if name in known else 0 for name in wanted)]
    return rows[torch.tensor(places)].clone()


def _network(card: ModelCard) -> NetworkConfig:
    """Return the network of a card with its folding factor written out: it may make tiles of another size."""
    return card.network.model_copy(update={"unshuffle": card.unshuffle})
