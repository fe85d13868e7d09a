"""Fine-tuning: training with the initial weights of a trained generator, for small data sets."""

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
    """Load the initial weights that ``config.start`` names, after checking that they fit these tiles.

    Parameters
    ----------
    patients
        Training patients. Initial weights that were trained on another patient of these tiles are refused; of
        the priors, the one of the nearest scale that passes is used.

    Raises
    ------
    InputError
        There is no generator, or it is a student, of another recipe or network, or was trained on a held-out
        patient.
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
            f"generator.start {name}: {refused[name]}; set it to none, or to a generator trained on "
            "no held-out patient"
        )
    for other, refusal in refused.items():
        _log.warning("%s %s; initial weights are %s", other, refusal, name)
    _log.info("%s: initial weights: %s", tiles.path, name)
    _refuse_misfit(config, start.card, name=name)
    _warn_of_scale(tiles, start.card, name=name)
    return start


def _refuse_misfit(config: GeneratorConfig, card: ModelCard, *, name: str) -> None:
    """Refuse initial weights of a student, of another recipe or of another network."""
    if card.student is not None:
        raise InputError(f"generator.start {name}: is a student; name the generator it was distilled from")
    objective, theirs = config.predicts, card.predicts
    if (card.recipe, theirs) != (config.recipe, objective):
        raise InputError(
            f"generator.start {name}: is of the recipe {card.recipe} with objective {theirs}, the training "
            f"of {config.recipe} with {objective}; set it to none, or to a generator of the same"
        )
    network = _network(card)
    for key, usual in NetworkConfig():
        asked, own = getattr(config.network, key), getattr(network, key)
        if asked not in (usual, own):
            raise InputError(
                f"generator.network.{key}: {asked}, but {name} has {own}; leave it out, or train from scratch"
            )


def _times_off(tiles: TileSet, card: ModelCard) -> float:
    """Return the ratio of the scales of these and the learned tiles, at least 1; 1 if either is unknown."""
    if not tiles.mpp or not card.mpp:
        return 1.0
    return max(tiles.mpp / card.mpp, card.mpp / tiles.mpp)


def _warn_of_scale(tiles: TileSet, card: ModelCard, *, name: str) -> None:
    if card.mpp and _times_off(tiles, card) > FAR:
        _log.warning(
            "generator.start %s: trained at %g µm/px, these tiles are at %g; nuclei have another size in px, "
            "so fine-tuning helps little outside %.2g to %.2g",
            name,
            card.mpp,
            tiles.mpp,
            card.mpp / FAR,
            card.mpp * FAR,
        )


def fine_tuned_card(card: ModelCard, start: Generator) -> ModelCard:
    """Return the card of a fine-tuned model, with network and training patients of its initial weights."""
    record = InitialWeights(
        generator=start.generator_id, name=start.shipped_name, patients=tuple(start.card.trained_on)
    )
    return replace(card, network=_network(start.card), start=record)


def fine_tuned_denoiser(card: ModelCard, start: Generator, pictures: Tensor) -> Denoiser:
    """Build the denoiser of a card with initial weights.

    A class of the same name keeps its embedding; a new class begins with that of "no class given". Colour
    statistics and spectrum are measured anew, so that the linear part of these tiles, mainly colour and
    layout, is right before the first step.

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
    """Return the network of a card with its folding factor written out, as tiles may have another size."""
    return card.network.model_copy(update={"unshuffle": card.unshuffle})
