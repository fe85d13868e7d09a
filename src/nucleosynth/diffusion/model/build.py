"""Build denoisers from cards: untrained, or with weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.denoiser import Denoiser, EpsilonDenoiser
from nucleosynth.diffusion.model.per_class import PerClassNetwork
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.model.unet import UNet
from nucleosynth.errors import InputError
from nucleosynth.registry import imported


def build_denoiser(
    card: ModelCard,
    *,
    mean: Tensor | None = None,
    std: Tensor | None = None,
    spectrum: Spectrum | None = None,
) -> Denoiser:
    """Build the untrained denoiser of a card.

    Without statistics of the training tiles, weights must be loaded afterwards. Noise prediction needs no
    statistics: its pictures lie in [-1, 1].

    Raises
    ------
    InputError
        The tile size is not a multiple of the network's grid.
    """
    network = imported(card.recipe.network)(card)
    denoiser: Denoiser
    if card.predicts == "epsilon":
        denoiser = EpsilonDenoiser(network)
    else:
        denoiser = Denoiser(
            network,
            mean=torch.zeros(3) if mean is None else mean,
            std=torch.ones(3) if std is None else std,
            spectrum=spectrum or Spectrum.flat(card.size),
        )
    return denoiser.to(memory_format=torch.channels_last)


def unet(card: ModelCard) -> UNet:
    """Build the untrained U-Net of a card.

    Raises
    ------
    InputError
        The tile size is not a multiple of the network's grid.
    """
    network, factor = card.network, card.unshuffle
    grain = factor * 2 ** (len(network.multipliers) - 1)
    if card.size % grain:
        raise InputError(
            f"generator: tile size {card.size} px must be a multiple of {grain} px for this network"
        )
    return UNet(
        classes=len(card.classes),
        unshuffle=factor,
        width=network.width,
        multipliers=network.multipliers,
        blocks=network.blocks,
        embedding=network.embedding,
        planes=card.recipe.planes,
        conditioned=card.recipe.conditioned,
        mask_scale=card.mask_scale or 1.0,
    )


def unet_per_class(card: ModelCard) -> nn.Module:
    """Build one untrained U-Net for each class."""
    return PerClassNetwork(lambda: unet(card), len(card.classes))


def with_weights(card: ModelCard, weights: Mapping[str, Tensor]) -> Denoiser:
    """Build the denoiser of a card and give it its weights."""
    denoiser = build_denoiser(card)
    denoiser.load_state_dict(dict(weights))
    return denoiser


def load_tensors(denoiser: Denoiser, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Load tensors into a denoiser; refuse and name a missing or unexpected one, or one of another shape."""
    expected = denoiser.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise InputError(f"{source}: tensor `{name}` is missing; restore the file or train again")
        if tensors[name].shape != value.shape:
            raise InputError(
                f"{source}: tensor `{name}` is {tuple(tensors[name].shape)}, expected {tuple(value.shape)}; "
                "config.json and weights are of different models"
            )
    foreign = sorted(set(tensors) - set(expected))
    if foreign:
        raise InputError(
            f"{source}: tensor `{foreign[0]}` is foreign; config.json and weights are of different models"
        )
    denoiser.load_state_dict(dict(tensors))
