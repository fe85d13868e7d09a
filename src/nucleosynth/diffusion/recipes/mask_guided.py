"""The paper's second recipe: a plain DDPM with the nuclei mask concatenated to its input at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from nucleosynth.diffusion.recipes.base import PlainDDPM
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.recipes.base import Rows


class MaskGuided(PlainDDPM):
    """A DDPM conditioned only on the mask, as one input channel; it cannot draw without one."""

    name: ClassVar[str] = "mask-guided"
    architecture: ClassVar[str] = "mask-guided-2"
    planes: ClassVar[int] = 1

    def usable_rows(self, tiles: TileSet, rows: Rows) -> Rows:
        """Return the rows with a mask."""
        return rows[tiles.has_mask[rows]]

    def require_rows(self, tiles: TileSet, rows: Rows) -> None:
        """Refuse training tiles of which none has a mask."""
        if not len(rows):
            raise InputError(f"{tiles.path}: no training tile has a mask; the recipe {self.name} needs them")

    def require_conditions(self, labels: Sequence[int], *, masks: bool) -> None:  # noqa: ARG002
        """Refuse a request without masks."""
        if not masks:
            raise InputError(f"sample: the recipe {self.name} needs a mask for each tile; give `masks`")


MASK_GUIDED = MaskGuided()
