"""The segmenter protocol, the registered segmenters, and the call that uses them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import shown
from nucleosynth.data.arrays import as_images, checked_mpp
from nucleosynth.errors import InputError
from nucleosynth.registry import Registry


@runtime_checkable
class Segmenter(Protocol):
    """A method that finds nuclei in tiles; each tile alone, so batch size and order have no influence.

    Attributes
    ----------
    name : str
        Name in reports.
    weights_hash : str
        Hash of the exact weights, or of the settings if there are none: equal hashes mean the same segmenter.
    """

    @property
    def name(self) -> str:
        """Name in reports."""

    @property
    def weights_hash(self) -> str:
        """Hash of the exact weights or settings."""

    def __call__(self, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Label nuclei in (n, h, w, 3) uint8 RGB at `mpp` µm/px: (n, h, w) int32, 0 = background."""


SEGMENTERS: Registry[Callable[[], Segmenter]] = Registry(
    "segmenter",
    {
        "classical": "nucleosynth.segmentation.backends.classical:ClassicalSegmenter",
        "embedded": "nucleosynth.segmentation.backends.learned:embedded",
        "judge": "nucleosynth.segmentation.backends.learned:judge",
    },
)
"""Factory of a segmenter by name; called without arguments."""
SEGMENTER_FILES: Registry[Callable[[str], Segmenter]] = Registry(
    "kind of segmenter file",
    {
        "torchscript": "nucleosynth.segmentation.backends.torchscript:torchscript",
        "weights": "nucleosynth.segmentation.backends.learned:trained",
    },
)
"""Function that opens a segmenter file, by the text before the first colon; it is given the text after it."""
DEFAULT_SEGMENTER, MASK_JUDGE = "embedded", "judge"
"""The default segmenter makes masks, the mask judge scores them; they share no training pictures."""
NONE = "none"
"""Setting in place of a segmenter's name: none is used."""


def register_segmenter(name: str, factory: str | Callable[[], Segmenter]) -> None:
    """Make a segmenter available by name.

    Parameters
    ----------
    name : str
        As users write it; an earlier segmenter of the same name is replaced.
    factory : callable or "module:attribute"
        Called without arguments at the first use.
    """
    SEGMENTERS.register(name, factory)
    get_segmenter.cache_clear()


def segmenter_names() -> tuple[str, ...]:
    """Return the registered names, sorted."""
    return tuple(sorted(SEGMENTERS))


@functools.cache
def get_segmenter(backend: str) -> Segmenter:
    """Return a segmenter; loaded once.

    Parameters
    ----------
    backend : str
        A registered name, or a file of the user: ``torchscript:instanseg:PATH``,
        ``torchscript:hdyolo:PATH``, or ``weights:DIRECTORY`` of `nucleosynth train segmenter`.

    Raises
    ------
    InputError
        The name is unknown (the message lists the nearest and all known ones), or a file cannot be used.
    """
    kind, colon, request = backend.partition(":")
    if colon and kind in SEGMENTER_FILES:
        return SEGMENTER_FILES.get(kind)(request)
    if backend not in SEGMENTERS:
        files = ", ".join(f"{kind}:..." for kind in SEGMENTER_FILES)
        raise InputError(f"{SEGMENTERS.unknown(backend)}, and files: {files}")
    return SEGMENTERS.get(backend)()


def segment(
    images: Any, mpp: float | None, *, backend: str | Segmenter = DEFAULT_SEGMENTER
) -> NDArray[np.int32]:
    """Find nuclei.

    Parameters
    ----------
    images : (n, h, w, 3) whole numbers from 0 to 255
        RGB tiles, or one (h, w, 3); nested lists, PIL images, a TileSet or some of its tiles as well.
    mpp : float
        Their scale in µm/px. There is no default: a wrong scale gives wrong nuclei without an error.
    backend : str or Segmenter
        A name or file, see :func:`get_segmenter`, or a segmenter itself.

    Returns
    -------
    (n, h, w) int32
        Per tile 0 = background and 1..k = nuclei.

    Raises
    ------
    InputError
        The backend is unknown, `mpp` is missing or impossible, or images have another shape or dtype.

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
