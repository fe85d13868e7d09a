"""The paper's first recipe: one unconditional DDPM for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from nucleosynth.diffusion.recipes.base import PlainDDPM
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.recipes.base import Rows


class PerClass(PlainDDPM):
    """A network for each class, trained only on tiles of that class; it uses neither mask nor stain."""

    name: ClassVar[str] = "per-class"
    architecture: ClassVar[str] = "per-class-2"
    planes: ClassVar[int] = 0
    one_class: ClassVar[bool] = True
    network: ClassVar[str] = "nucleosynth.diffusion.model.build:unet_per_class"

    def usable_rows(self, tiles: TileSet, rows: Rows) -> Rows:
        """Return the rows with a class."""
        return rows[tiles.labels[rows] >= 0]

    def require_rows(self, tiles: TileSet, rows: Rows) -> None:
        """Refuse tiles without classes, or classes without training tiles."""
        absent = [name for c, name in enumerate(tiles.classes) if not (tiles.labels[rows] == c).any()]
        if absent or not tiles.classes:
            what = f"no training tile of class {absent[0]}" if absent else "tiles have no classes"
            raise InputError(f"{tiles.path}: {what}; the recipe {self.name} trains a network for each class")

    def require_conditions(self, labels: Sequence[int], *, masks: bool) -> None:  # noqa: ARG002
        """Refuse a request for a tile without its class."""
        if min(labels, default=0) < 0:
            raise InputError(f"sample: the recipe {self.name} needs a class for each tile; give `labels`")


PER_CLASS = PerClass()
