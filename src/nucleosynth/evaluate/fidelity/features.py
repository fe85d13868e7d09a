"""Features that fidelity is measured in; every score names the extractor and its weights hash."""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import shown
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.extractors import classifier_extractor, lite0_extractor
from nucleosynth.evaluate.fidelity.inception import inception_extractor
from nucleosynth.evaluate.fidelity.pretrained import clip_extractor, dinov2_extractor, timm_extractor


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


EQUAL = 1e-6
"""Of the largest feature: tiles that differ by less are the same to the extractor."""


def sound_features(
    network: Extractor,
    images: NDArray[np.uint8],
    *,
    of: str,
    rows: NDArray[np.int64] | None = None,
    varied: bool = True,
) -> NDArray[np.float32]:
    """Compute the features of tiles, (n, h, w, 3) uint8 to (n, d), and refuse what no score can be made of.

    Parameters
    ----------
    of
        Whose tiles, for the message, and ``rows`` (n,) under which their owner knows them.
    varied
        Whether two tiles and more must differ.

    Raises
    ------
    InputError
        Where a feature is not a number, or all tiles have the same features.
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
            "look at the tiles, or use another extractor"
        )
    return x


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


def _lite0(argument: str) -> Extractor:
    if argument:
        raise InputError(f"extractor lite0:{argument}: lite0 has one set of weights; name it lite0")
    return lite0_extractor()


_FACTORIES: dict[str, Callable[[str], Extractor]] = {
    "lite0": _lite0,
    "inception": inception_extractor,
    "dinov2": dinov2_extractor,
    "clip": clip_extractor,
    "timm": timm_extractor,
    "classifier": classifier_extractor,
}
FORMS = "lite0, inception[:FILE], dinov2[:FILE], clip[:FILE], timm:MODEL[@FILE], classifier:RUN"


def extractor_names() -> tuple[str, ...]:
    """Return the registered kinds of extractor, sorted; some take more after a colon, see `get_extractor`."""
    return tuple(sorted(_FACTORIES))


def as_extractor(extractor: Any) -> Extractor:
    """Return an extractor, which a name stands for, or raise an InputError."""
    if isinstance(extractor, str):
        return get_extractor(extractor)
    if isinstance(extractor, Extractor):
        return extractor
    raise InputError(f"extractor is {shown(extractor)}; expected a name such as 'lite0', or an extractor")


@functools.cache
def get_extractor(name: str) -> Extractor:
    """Return the extractor of a name; loaded once.

    Parameters
    ----------
    name : str
        `lite0`, offline; `inception`, `dinov2` or `clip`, with weights of the hub, its cache or, after a
        colon, of a file; `timm:MODEL`, `timm:hf-hub:OWNER/NAME` or `timm:MODEL@FILE.safetensors`; or
        `classifier:RUN`, a finished run directory.

    Raises
    ------
    InputError
        For an unknown name, with the known ones, or where its weights cannot be had.
    """
    kind, _, argument = name.partition(":")
    if kind not in _FACTORIES:
        nearest = difflib.get_close_matches(kind, _FACTORIES, n=1, cutoff=0.0)[0]
        raise InputError(f"extractor {name!r}: unknown; the nearest is {nearest}, known: {FORMS}")
    return _FACTORIES[kind](argument)
