"""Features that fidelity is measured in; every score names the extractor and its weights hash."""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError


@runtime_checkable
class Extractor(Protocol):
    """Maps tiles to feature vectors; each tile on its own, so a batch's size and order never matter.

    Attributes
    ----------
    name : str
        What reports print; it tells the input size.
    weights_hash : str
        Names the exact weights: scores by other weights cannot be compared.
    """

    @property
    def name(self) -> str:
        """What reports print."""

    @property
    def weights_hash(self) -> str:
        """Names the exact weights."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, h, w, 3) uint8 RGB to (n, d) float32."""


class Lite0Extractor:
    """Pooled features of EfficientNet-Lite0 with ImageNet weights, offline.

    Parameters
    ----------
    size : int
        Tiles are resized to this many pixels (bilinear, with antialiasing where they shrink). 224 is what the
        network was trained at; another size gives other features, so it is part of the name.
    batch : int
        Tiles per forward pass: memory and speed only.

    Raises
    ------
    InputError
        When the package with the weights is not installed.
    """

    def __init__(self, *, size: int = 224, batch: int = 32) -> None:
        import torch

        from nucleosynth.backbones import lite0, weights_hash

        if size < 32 or batch < 1:
            raise InputError(f"lite0: size {size}, batch {batch}; expected at least 32 px and 1 tile")
        self.size, self.batch = size, batch
        network = lite0()
        self.weights_hash = weights_hash(network)
        self._network = network.eval().to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        """What reports print."""
        return f"lite0@{self.size}"

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map tiles to features.

        Parameters
        ----------
        images : (n, h, w, 3) uint8
            RGB; a memory map is read batch by batch.

        Returns
        -------
        (n, 1280) float32

        Raises
        ------
        InputError
            For images of another shape or dtype.
        """
        import torch
        import torch.nn.functional as F

        from nucleosynth.backbones import to_input

        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise InputError(
                f"images are {images.dtype} {images.shape}; expected uint8 RGB of shape (n, h, w, 3)"
            )
        features = np.empty((len(images), 1280), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(images), self.batch):
                tiles = to_input(images[start : start + self.batch])  # n 3 h w
                if tiles.shape[-2:] != (self.size, self.size):
                    tiles = F.interpolate(tiles, (self.size, self.size), mode="bilinear", antialias=True)
                tiles = tiles.contiguous(memory_format=torch.channels_last)
                features[start : start + self.batch] = self._network(tiles).numpy()
        return features


class Remembering:
    """An extractor that does not compute the features of a tile twice.

    For scores that share tiles, such as all training tiles and those of one class.
    """

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.name, self.weights_hash = extractor.name, extractor.weights_hash
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, h, w, 3) uint8 RGB to (n, d) float32."""
        if not len(images):
            return self._extractor(images)
        keys = [f"{tile.shape}{hashlib.sha256(tile.tobytes()).hexdigest()}" for tile in images]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, self._extractor(images[list(new.values())]), strict=True))
        return np.stack([self._known[key] for key in keys])


_FACTORIES: dict[str, Callable[[], Extractor]] = {"lite0": Lite0Extractor}


@functools.cache
def get_extractor(name: str) -> Extractor:
    """Return the extractor of a name; loaded once.

    Raises
    ------
    InputError
        For an unknown name, with the known ones, or where its weights cannot be had.
    """
    if name not in _FACTORIES:
        nearest = difflib.get_close_matches(name, _FACTORIES, n=1, cutoff=0.0)[0]
        raise InputError(
            f"extractor {name!r}: unknown; the nearest is {nearest}, known: {', '.join(_FACTORIES)}"
        )
    return _FACTORIES[name]()
