"""The protocol that providers of nuclei masks follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.uint16]


@runtime_checkable
class Layouts(Protocol):
    """A provider of invented masks."""

    @property
    def classes(self) -> list[str]:
        """Class names that labels index; empty if layouts have no class."""

    @property
    def patients(self) -> list[str]:
        """Training patients of the layout model."""

    def identity(self) -> dict[str, Any]:
        """Return what identifies these layouts, for provenance."""

    def masks(
        self,
        labels: Sequence[int],
        *,
        indices: Sequence[int],
        ranks: Sequence[int],
        size: int,
        mpp: float,
        seed: int,
    ) -> Masks:
        """Return one (size, size) mask for each label; -1 = no class.

        ``indices`` are the numbers of the tiles, ``ranks`` the number of earlier tiles of the same label. A
        mask depends only on these and the seed.
        """
