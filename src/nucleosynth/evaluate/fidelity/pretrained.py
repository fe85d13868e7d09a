"""Pretrained timm models as extractors, from the hub, its cache or a file; DINOv2 and CLIP by name."""

from __future__ import annotations

from typing import Any

from nucleosynth.backbones import HUB, create_backbone
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.extractors import NetworkExtractor, resizing, written_as

DINOV2 = "vit_small_patch14_dinov2.lvd142m"
DINOV2_SIZE = 224
"""Input size in px; the model's own 518 costs five times as much and gains nothing for smaller tiles."""
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
CLIP_DIMENSIONS = 512
"""The model with its projection, which timm keeps as the head: its output is the embedding of CMMD."""


@written_as("timm:MODEL[@FILE]", purpose="features of any timm model: timm:MODEL or timm:MODEL@FILE")
def timm_extractor(spec: str) -> NetworkExtractor:
    """Return an extractor of pooled features of a timm model at its own input size, mean and deviation.

    Parameters
    ----------
    spec : str
        `MODEL`, with weights of the hub or its cache; `hf-hub:OWNER/NAME`; or `MODEL@FILE.safetensors`, with
        weights of a local file under timm's own names.

    Raises
    ------
    InputError
        The model is unknown, or its weights are not available or do not fit.
    """
    model, _, file = (spec, "", "") if spec.startswith(HUB) else spec.partition("@")
    if not model.removeprefix(HUB):
        raise InputError(
            "extractor timm: names no model; "
            "expected timm:MODEL, timm:MODEL@FILE.safetensors or timm:hf-hub:OWNER/NAME"
        )
    offline = "timm:MODEL@FILE.safetensors" if model.startswith(HUB) else f"timm:{model}@FILE.safetensors"
    return _pretrained(model, file, f"timm:{model}", offline=offline)


@written_as("dinov2[:FILE]", purpose="features of a general vision transformer; weights of the hub or a file")
def dinov2_extractor(file: str = "") -> NetworkExtractor:
    """Return an extractor with DINOv2, the small vision transformer, at 224 px; 384 features.

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


@written_as("clip[:FILE]", purpose="features of a general image and text model; weights of the hub or a file")
def clip_extractor(file: str = "") -> NetworkExtractor:
    """Return an extractor of the image embedding of OpenAI's CLIP, ViT-B/16 at 224 px; 512 features.

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
    try:
        network: Any = create_backbone(model, weights=file or "hub", num_classes=outputs)
    except InputError as error:
        if file:
            raise
        raise InputError(f"{error}; as an extractor: {offline}") from error
    stated = network.pretrained_cfg
    if size is not None:
        network.set_input_size((size, size))
    mode = "bicubic" if stated.get("interpolation") == "bicubic" else "bilinear"
    return resizing(network, label, size=size or int(stated["input_size"][-1]), mode=mode)
