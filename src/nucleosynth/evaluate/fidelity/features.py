"""Features for fidelity scores; every score names the extractor and the hash of its weights."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import did_you_mean, shown
from nucleosynth.errors import InputError
from nucleosynth.registry import Registry


@runtime_checkable
class Extractor(Protocol):
    """A map from tiles to feature vectors; each tile alone, so batch size and order have no influence.

    Attributes
    ----------
    name : str
        Name in reports, with the input size.
    weights_hash : str
        Hash of the exact weights: scores with other weights cannot be compared.
    """

    @property
    def name(self) -> str:
        """Name in reports, with the input size."""

    @property
    def weights_hash(self) -> str:
        """Hash of the exact weights."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, h, w, 3) uint8 RGB to (n, d) float32."""


EQUAL = 1e-6
"""Relative to the largest feature: tiles that differ by less count as the same."""


def sound_features(
    network: Extractor,
    images: NDArray[np.uint8],
    *,
    of: str,
    rows: NDArray[np.int64] | None = None,
    varied: bool = True,
) -> NDArray[np.float32]:
    """Compute the features of tiles, (n, h, w, 3) uint8 to (n, d), and refuse features that cannot be scored.

    Parameters
    ----------
    of
        Name of the tiles for the message, which also uses ``rows`` (n,), their rows in the original set.
    varied
        Whether two or more tiles must differ.

    Raises
    ------
    InputError
        A feature is not a number, or all tiles have the same features.
    """
    x = np.asarray(network(images))
    wrong = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(wrong):
        row = wrong[0] if rows is None else rows[wrong[0]]
        raise InputError(
            f"{network.name}: features of {of}, tile {row} are not numbers; "
            "use other weights or another extractor"
        )
    if varied and len(x) > 1 and np.ptp(x, axis=0).max() <= EQUAL * np.abs(x).max():
        raise InputError(
            f"{network.name}: features of {of} are the same for all {len(x)} tiles; "
            "check the tiles, or use another extractor"
        )
    return x


class Remembering:
    """An extractor that does not compute the features of a tile twice.

    It is used for scores that share tiles, such as all training tiles and those of one class.
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


EXTRACTORS: Registry[Callable[[str], Extractor]] = Registry(
    "extractor",
    {
        "lite0": "nucleosynth.evaluate.fidelity.extractors:offline_extractor",
        "inception": "nucleosynth.evaluate.fidelity.inception:inception_extractor",
        "dinov2": "nucleosynth.evaluate.fidelity.pretrained:dinov2_extractor",
        "clip": "nucleosynth.evaluate.fidelity.pretrained:clip_extractor",
        "timm": "nucleosynth.evaluate.fidelity.pretrained:timm_extractor",
        "classifier": "nucleosynth.evaluate.fidelity.extractors:classifier_extractor",
    },
)
"""Factory of an extractor by name; it is given the text after the first colon; see `written_as`."""


def register_extractor(name: str, factory: str | Callable[[str], Extractor]) -> None:
    """Make an extractor available by name.

    Parameters
    ----------
    name : str
        As users write it, without a colon; an earlier extractor of the same name is replaced.
    factory : callable or "module:attribute"
        Called with the text after the first colon, or with empty text, at the first use.
    """
    EXTRACTORS.register(name, factory)
    get_extractor.cache_clear()


def extractor_forms() -> str:
    """Return how each registered extractor is written: ``lite0, inception[:FILE], ...``."""
    return ", ".join(getattr(EXTRACTORS.get(name), "form", name) for name in EXTRACTORS)


def extractor_names() -> tuple[str, ...]:
    """Return the registered kinds of extractor, sorted; some take more after a colon, see `get_extractor`."""
    return tuple(sorted(EXTRACTORS))


def as_extractor(extractor: Any) -> Extractor:
    """Return an extractor, which a name stands for, or raise an InputError."""
    if isinstance(extractor, str):
        return get_extractor(extractor)
    if isinstance(extractor, Extractor):
        return extractor
    raise InputError(f"extractor is {shown(extractor)}; expected a name such as 'lite0', or an extractor")


@functools.cache
def get_extractor(name: str) -> Extractor:
    """Return the extractor with a name; loaded once.

    Parameters
    ----------
    name : str
        `lite0`, offline; `inception`, `dinov2` or `clip`, with weights of the hub, its cache or, after a
        colon, of a file; `timm:MODEL`, `timm:hf-hub:OWNER/NAME` or `timm:MODEL@FILE.safetensors`; or
        `classifier:RUN`, a finished run directory.

    Raises
    ------
    InputError
        The name is unknown (the message lists the known ones), or its weights are not available.
    """
    kind, _, argument = name.partition(":")
    if kind not in EXTRACTORS:
        hint = did_you_mean(kind, EXTRACTORS)
        raise InputError(f"unknown extractor {name!r}; {hint}known are {extractor_forms()}")
    return EXTRACTORS.get(kind)(argument)
