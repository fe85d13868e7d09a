"""The protocol that providers of nuclei masks follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.uint16]


class Layouts(Protocol):
    """Where invented masks come from."""

    @property
    def classes(self) -> list[str]:
        """Names that labels index; empty where layouts have no class."""

    @property
    def patients(self) -> list[str]:
        """Patients whose masks the layouts were learned from."""

    def identity(self) -> dict[str, Any]:
        """Return what tells these layouts from others, for provenance."""

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

        ``indices`` are the numbers of the tiles, ``ranks`` how many tiles of its label stand before each. A
        mask depends on these and the seed alone.
        """
