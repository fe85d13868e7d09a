"""Networks as extractors, independent of the batch: the offline lite0, and a trained classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nucleosynth.config import load_yaml
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

F = TypeVar("F", bound=Callable[..., Any])

Forward = Callable[[NDArray[np.uint8]], "Tensor"]
"""Maps a batch (n, h, w, 3) uint8 to features (n, d)."""


def written_as(form: str, *, purpose: str = "") -> Callable[[F], F]:
    """Record on a factory how users write its extractors, such as ``timm:MODEL[@FILE]``, and what for."""

    def note(factory: F) -> F:
        factory.form, factory.purpose = form, purpose  # type: ignore[attr-defined]
        return factory

    return note


@dataclass(frozen=True, slots=True)
class NetworkExtractor:
    """Features of a network, batch by batch; an `Extractor`.

    Attributes
    ----------
    name : str
        Name in reports, with the input size.
    weights_hash : str
        Hash of the exact weights.
    forward : callable
        Maps a batch of tiles to features, see :data:`Forward`.
    batch : int
        Tiles per forward pass: memory and speed only.
    """

    name: str
    weights_hash: str
    forward: Forward
    batch: int = 32

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the features of tiles.

        Parameters
        ----------
        images : (n, h, w, 3) uint8
            RGB; a memory map is read batch by batch.

        Returns
        -------
        (n, d) float32

        Raises
        ------
        InputError
            The images have another shape or dtype.
        """
        import torch

        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise InputError(
                f"images are {images.dtype} {images.shape}; expected uint8 RGB of shape (n, h, w, 3)"
            )
        tiles = images if len(images) else np.zeros((1, *images.shape[1:]), np.uint8)  # one tile to find d
        with torch.inference_mode():
            parts = [
                self.forward(tiles[start : start + self.batch]).float().numpy()
                for start in range(0, len(tiles), self.batch)
            ]
        return np.concatenate(parts)[: len(images)]


@written_as("lite0", purpose="features for fidelity and copies; offline")
def offline_extractor(argument: str = "") -> NetworkExtractor:
    """Return lite0 at its usual size, see `lite0_extractor`.

    Raises
    ------
    InputError
        There is text after a colon.
    """
    if argument:
        raise InputError(f"extractor lite0:{argument}: lite0 has one set of weights; name it lite0")
    return lite0_extractor()


def lite0_extractor(*, size: int = 224, batch: int = 32) -> NetworkExtractor:
    """Return an extractor of pooled features of EfficientNet-Lite0 with ImageNet weights, offline; d = 1280.

    Parameters
    ----------
    size : int
        Tiles are resized to this many pixels (bilinear, with antialiasing where they shrink). The network was
        trained at 224; another size gives other features, so it is part of the name.
    batch : int
        Tiles per forward pass: memory and speed only.

    Raises
    ------
    InputError
        The package with the weights is not installed.
    """
    from nucleosynth.backbones import lite0

    if size < 32 or batch < 1:
        raise InputError(f"lite0: size {size}, batch {batch}; expected at least 32 px and 1 tile")
    return resizing(lite0(), "lite0", size=size, mode="bilinear", batch=batch)


@written_as("classifier:RUN", purpose="features of a classifier of your own: classifier:RUN")
def classifier_extractor(folder: str) -> NetworkExtractor:
    """Return an extractor of pooled features of a trained classifier, without its head, at its training size.

    Parameters
    ----------
    folder : str
        A finished run of `nucleosynth classify`, or of a classifier of a study.

    Raises
    ------
    InputError
        The folder is not such a run.
    """
    from nucleosynth.backbones import create_backbone

    run = Path(folder)
    for needed in ("config.yaml", "model.safetensors", "DONE"):
        if not folder or not (run / needed).is_file():
            raise InputError(
                f"extractor classifier:{folder}: holds no {needed}; expected a finished run of a classifier"
            )
    settings = load_yaml(run / "config.yaml")
    section: Any = settings.get("classifier")
    if settings.get("kind") != "classifier" or not isinstance(section, dict) or "model" not in section:
        raise InputError(f"{run / 'config.yaml'}: is a run of another kind; expected one of a classifier")
    model = str(section["model"])
    network = create_backbone(model, weights=run / "model.safetensors", num_classes=0)
    return resizing(network, f"classifier:{model}", size=section.get("input"), mode="bilinear")


def resizing(
    network: nn.Module, label: str, *, size: int | None, mode: str, batch: int = 32
) -> NetworkExtractor:
    """Return an extractor of a network that takes tiles scaled by `input_scale` at one size.

    Parameters
    ----------
    network : nn.Module
        Maps (n, 3, h, w) float32 to (n, d).
    label : str
        Its name; the size is added.
    size : int or None
        Size in px to which tiles are resized, antialiased; None keeps their size.
    mode : "bilinear" or "bicubic"
    batch : int
        Tiles per forward pass.
    """
    import torch
    import torch.nn.functional as F

    from nucleosynth.backbones import input_scale, to_input, weights_hash

    scale = input_scale(network)
    network = network.eval().to(memory_format=torch.channels_last)

    def forward(images: NDArray[np.uint8]) -> Tensor:
        tiles = to_input(images, scale=scale)  # n 3 h w
        if size is not None and tiles.shape[-2:] != (size, size):
            tiles = F.interpolate(tiles, (size, size), mode=mode, antialias=True)
        features: Tensor = network(tiles.contiguous(memory_format=torch.channels_last))
        return features

    return NetworkExtractor(f"{label}@{size or 'tile'}", weights_hash(network), forward, batch)
