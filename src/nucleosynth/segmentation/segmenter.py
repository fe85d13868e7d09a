"""What a segmenter is, which ones there are, and the one call that uses them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import shown
from nucleosynth.data.arrays import as_images, checked_mpp
from nucleosynth.errors import InputError


@runtime_checkable
class Segmenter(Protocol):
    """Finds nuclei in tiles; each tile on its own, so a batch's size and order never matter.

    Attributes
    ----------
    name : str
        What reports print.
    weights_hash : str
        Names the exact weights, or the settings where there are none: two equal hashes are one segmenter.
    """

    @property
    def name(self) -> str:
        """What reports print."""

    @property
    def weights_hash(self) -> str:
        """Names the exact weights or settings."""

    def __call__(self, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Label nuclei in (n, h, w, 3) uint8 RGB at `mpp` µm/px: (n, h, w) int32, 0 = background."""


_FACTORIES: dict[str, str | Callable[[], Segmenter]] = {
    "classical": "nucleosynth.segmentation.backends.classical:ClassicalSegmenter",
    "embedded": "nucleosynth.segmentation.backends.learned:embedded",
    "judge": "nucleosynth.segmentation.backends.learned:judge",
}
_FILES: dict[str, str] = {
    "torchscript": "nucleosynth.segmentation.backends.torchscript:torchscript",
    "weights": "nucleosynth.segmentation.backends.learned:trained",
}
DEFAULT_SEGMENTER, MASK_JUDGE = "embedded", "judge"
"""Who makes masks and who judges them, unless told otherwise; neither saw the other's training pictures."""
NONE = "none"
"""In place of a segmenter's name: none is used."""


def register_segmenter(name: str, factory: str | Callable[[], Segmenter]) -> None:
    """Make a segmenter available by name.

    Parameters
    ----------
    name : str
        As users write it; an earlier one of the same name is replaced.
    factory : callable or "module:attribute"
        Called without arguments when the segmenter is first asked for.
    """
    _FACTORIES[name] = factory
    get_segmenter.cache_clear()


def segmenter_names() -> tuple[str, ...]:
    """Return the registered names, sorted."""
    return tuple(sorted(_FACTORIES))


@functools.cache
def get_segmenter(backend: str) -> Segmenter:
    """Return a segmenter; loaded once.

    Parameters
    ----------
    backend : str
        A registered name, or a file that the user brings: ``torchscript:instanseg:PATH``,
        ``torchscript:hdyolo:PATH``, or ``weights:DIRECTORY`` of `nucleosynth train segmenter`.

    Raises
    ------
    InputError
        For an unknown name, with the nearest and all known ones, or a file that cannot be used.
    """
    kind, colon, request = backend.partition(":")
    if colon and kind in _FILES:
        return _attribute(_FILES[kind])(request)  # type: ignore[no-any-return]
    if backend not in _FACTORIES:
        nearest = difflib.get_close_matches(backend, _FACTORIES, n=1, cutoff=0.0)[0]
        known = ", ".join(segmenter_names())
        raise InputError(f"segmenter {backend!r}: unknown; the nearest is {nearest}, known are {known}")
    factory = _FACTORIES[backend]
    made: Segmenter = (_attribute(factory) if isinstance(factory, str) else factory)()
    return made


def _attribute(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def segment(
    images: Any, mpp: float | None, *, backend: str | Segmenter = DEFAULT_SEGMENTER
) -> NDArray[np.int32]:
    """Find nuclei.

    Parameters
    ----------
    images : (n, h, w, 3) whole numbers from 0 to 255
        RGB tiles, or one (h, w, 3); nested lists, PIL images, a TileSet or some of its tiles as well.
    mpp : float
        Their scale in µm/px. There is no default: a wrong scale gives wrong nuclei without any sign of it.
    backend : str or Segmenter
        A name or file, see :func:`get_segmenter`, or a segmenter itself.

    Returns
    -------
    (n, h, w) int32
        Per tile 0 = background and 1..k = nuclei.

    Raises
    ------
    InputError
        For an unknown backend, a missing or impossible `mpp`, or images of another shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> segment(np.full((2, 64, 64, 3), 255, np.uint8), 0.5).max()
    np.int32(0)
    """
    if not isinstance(backend, str | Segmenter):
        raise InputError(f"backend is {shown(backend)}; expected a name such as {DEFAULT_SEGMENTER!r}")
    segmenter = get_segmenter(backend) if isinstance(backend, str) else backend
    return segmenter(as_images(images), checked_mpp(mpp))
