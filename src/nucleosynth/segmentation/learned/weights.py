"""Weights of the segmenters: safetensors in half precision, with a card in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch

from nucleosynth.backbones.weights import fill, read_safetensors, weights_hash
from nucleosynth.errors import InputError
from nucleosynth.files import partial, read_json, write_json
from nucleosynth.segmentation.learned.config import NETWORKS
from nucleosynth.segmentation.learned.network import SegmenterNet, build_network

WEIGHTS, CARD = "model.safetensors", "card.json"


def save_weights(net: SegmenterNet, card: Mapping[str, Any], directory: Path) -> None:
    """Write a folded network, in half precision, and its card; the directory appears whole.

    The card gains `weights_hash`, that of the network as `load_weights` gives it back.
    """
    from safetensors.torch import save_file

    halves = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    with partial(directory) as building:
        building.mkdir()
        save_file(halves, building / WEIGHTS)
        write_json(building / CARD, {"recipe": net.recipe, **card, "weights_hash": _hash_of(halves, net)})


def load_weights(directory: Path) -> tuple[SegmenterNet, dict[str, Any]]:
    """Read what `save_weights` wrote: the network, folded and ready to infer, and its card.

    Raises
    ------
    InputError
        A file is missing or damaged, or holds another network.
    """
    card = read_json(directory / CARD)
    recipe = card.get("recipe") if isinstance(card, dict) else None
    if not isinstance(recipe, str) or recipe not in NETWORKS:
        raise InputError(f"{directory / CARD}: {NETWORKS.unknown(recipe)}")
    net = build_network(recipe).fold()
    tensors = {name: value.float() for name, value in read_safetensors(directory / WEIGHTS).items()}
    fill(net, tensors, head="", source=str(directory / WEIGHTS))
    return net, card


def shipped_weights(name: str) -> tuple[SegmenterNet, dict[str, Any]]:
    """Return one of the networks that come with the package, and its card."""
    with as_file(files("nucleosynth.segmentation.learned") / "shipped" / name) as directory:
        return load_weights(directory)


def _hash_of(halves: Mapping[str, torch.Tensor], net: SegmenterNet) -> str:
    read_back = build_network(net.recipe).fold()
    read_back.load_state_dict({name: value.float() for name, value in halves.items()})
    return weights_hash(read_back)
