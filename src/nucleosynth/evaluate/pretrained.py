"""Pretrained timm models as extractors: any of the hub, its cache or a file, and DINOv2 and CLIP by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nucleosynth.errors import InputError
from nucleosynth.evaluate.extractors import NetworkExtractor, resizing

if TYPE_CHECKING:
    from torch import nn

HUB = "hf-hub:"
DINOV2 = "vit_small_patch14_dinov2.lvd142m"
DINOV2_SIZE = 224
"""Side in px; its own 518 costs five times as much and shows no more of a tile that is smaller."""
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
CLIP_DIMENSIONS = 512
"""With the projection, which timm keeps as the head: it makes the embedding that CMMD compares."""


def timm_extractor(spec: str) -> NetworkExtractor:
    """Pooled features of a timm model at its own input size, mean and standard deviation.

    Parameters
    ----------
    spec : str
        `MODEL`, with weights of the hub or its cache; `hf-hub:OWNER/NAME`; or `MODEL@FILE.safetensors`, with
        weights of a local file under timm's own names.

    Raises
    ------
    InputError
        For an unknown model, and where its weights cannot be had or do not fit.
    """
    model, _, file = (spec, "", "") if spec.startswith(HUB) else spec.partition("@")
    if not model.removeprefix(HUB):
        raise InputError(
            "extractor timm: names no model; "
            "expected timm:MODEL, timm:MODEL@FILE.safetensors or timm:hf-hub:OWNER/NAME"
        )
    return _pretrained(model, file, f"timm:{model}", offline=f"timm:{model}@FILE.safetensors")


def dinov2_extractor(file: str = "") -> NetworkExtractor:
    """DINOv2, the small vision transformer, at 224 px; 384 features.

    Parameters
    ----------
    file : str
        A local copy of timm's `model.safetensors`; without it the hub or its cache.

    Raises
    ------
    InputError
        As :func:`timm_extractor`.

    Notes
    -----
    Oquab et al. 2023; Stein et al. 2023 compare generators in its features.
    """
    return _pretrained(DINOV2, file, "dinov2-small", offline="dinov2:FILE.safetensors", size=DINOV2_SIZE)


def clip_extractor(file: str = "") -> NetworkExtractor:
    """Image embedding of OpenAI's CLIP, ViT-B/16 at 224 px; 512 features.

    Parameters
    ----------
    file : str
        A local copy of timm's `model.safetensors`; without it the hub or its cache.

    Raises
    ------
    InputError
        As :func:`timm_extractor`.

    Notes
    -----
    Radford et al. 2021. CMMD was published with the larger ViT-L/14 at 336 px.
    """
    return _pretrained(CLIP, file, "clip-vit-b16", offline="clip:FILE.safetensors", outputs=CLIP_DIMENSIONS)


def _pretrained(
    model: str, file: str, label: str, *, offline: str, size: int | None = None, outputs: int = 0
) -> NetworkExtractor:
    from nucleosynth.backbones import create_backbone

    network: Any
    if model.startswith(HUB):
        network = _from_hub(model)
    elif file:
        network = create_backbone(model, weights=file, num_classes=outputs)
    else:
        try:
            network = create_backbone(model, weights="hub", num_classes=outputs)
        except InputError as error:
            raise InputError(f"{error}; as an extractor: {offline}") from error
    stated = network.pretrained_cfg
    if size is not None:
        network.set_input_size((size, size))
    mode = "bicubic" if stated.get("interpolation") == "bicubic" else "bilinear"
    return resizing(network, label, size=size or int(stated["input_size"][-1]), mode=mode)


def _from_hub(model: str) -> nn.Module:
    import timm

    create: Any = timm.create_model
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.CRITICAL)  # its retries would bury the one line below
    try:
        network: nn.Module = create(model, pretrained=True, num_classes=0)
    except Exception as error:  # the client has its own kinds for no network, no such model, time-outs
        reason = str(error).strip().split("\n", maxsplit=1)[0][:60].rstrip()
        raise InputError(
            f"extractor timm:{model}: could not be had from the hub ({type(error).__name__}: {reason}); "
            "connect to the network, or use timm:MODEL@FILE.safetensors"
        ) from error
    finally:
        client.setLevel(level)
    return network
