"""The tile groups of a comparison: tiles with the patient and class of each, and then their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import as_int, shown
from nucleosynth.data.arrays import as_images
from nucleosynth.data.selection import TileSelection
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.features import Extractor, sound_features
from nucleosynth.seeds import some_rows

Images = NDArray[np.uint8]
Groups = Sequence[str] | NDArray[np.str_] | None
Labels = Sequence[int] | NDArray[np.integer[Any]]

ROWS = "fidelity-rows"


@dataclass(frozen=True, slots=True)
class Features:
    """Features of tiles, (n, d) float32, and the patient of each, (n,) str or None."""

    x: NDArray[np.float32]
    groups: NDArray[np.str_] | None

    def __len__(self) -> int:
        return len(self.x)

    def some(self, n: int, *, seed: int) -> Features:
        """Draw at most n of them, in order."""
        rows = some_rows(seed, ROWS, len(self), n)
        return Features(self.x[rows], None if self.groups is None else self.groups[rows])


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Some tiles of a set; the pixels are read when features are computed.

    Attributes
    ----------
    name : str
        Name in error messages.
    images : (n, h, w, 3) uint8
    groups : (n,) str or None
        Patient of each tile; of a synthetic tile, that of its donor.
    labels : (n,) int or None
        Index into `classes`; negative where unknown.
    rows : (k,) int
        Rows of the tiles in the group.
    mpp : float or None
        µm/px; None where unknown.
    classes : tuple of str
        Empty where unknown.
    """

    name: str
    images: NDArray[np.uint8]
    groups: NDArray[np.str_] | None
    labels: NDArray[np.integer[Any]] | None
    rows: NDArray[np.int64]
    mpp: float | None = None
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, tiles: Tiles, name: str) -> TileGroup:
        """Make a group from a TileSet, some of its tiles, or arrays: images, (images, patients[, labels]).

        Raises
        ------
        InputError
            Fewer than two tiles, or not one patient or label per tile.
        """
        if isinstance(tiles, TileGroup):
            return cls._checked(replace(tiles, name=name))
        if isinstance(tiles, TileSet | TileSelection):
            known = bool((tiles.patients != "").all())
            groups = tiles.patients if known else None
            every = np.arange(len(tiles))
            group = cls(name, tiles.images, groups, tiles.labels, every, tiles.mpp, tuple(tiles.classes))
            return cls._checked(group)
        images, patients, *more = (
            tiles if isinstance(tiles, tuple) and len(tiles) in (2, 3) else (tiles, None)
        )
        pixels = as_images(images, name=name)
        groups = None if patients is None else np.array([str(one) for one in _listed(patients, name)])
        labels = (
            np.array([as_int(label, f"{name} labels") for label in _listed(more[0], name)]) if more else None
        )
        return cls._checked(cls(name, pixels, groups, labels, np.arange(len(pixels))))

    @classmethod
    def _checked(cls, group: TileGroup) -> TileGroup:
        n = len(group.images)
        if len(group) < 2:
            raise InputError(f"fidelity: {group.name} holds {len(group)} tiles; expected at least 2")
        for what, values in (("patients", group.groups), ("labels", group.labels)):
            if values is not None and values.shape != (n,):
                raise InputError(
                    f"fidelity: {group.name} has {n} tiles and {values.size} {what}; expected one each"
                )
        return group

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, n: int, *, seed: int) -> TileGroup:
        """Draw at most n of them, in order."""
        return replace(self, rows=some_rows(seed, ROWS, self.rows, n))

    def of_class(self, label: int) -> TileGroup:
        """Return the tiles of one class; none if labels are unknown."""
        chosen = self.rows[:0] if self.labels is None else self.rows[self.labels[self.rows] == label]
        return replace(self, rows=chosen)

    def features(self, network: Extractor) -> Features:
        """Compute the features of the tiles.

        Raises
        ------
        InputError
            A feature is not a number, or all tiles have the same features.
        """
        x = sound_features(network, np.asarray(self.images[self.rows]), of=f"`{self.name}`", rows=self.rows)
        return Features(x, None if self.groups is None else self.groups[self.rows])


def _listed(values: Any, name: str) -> list[Any]:
    """Return patients or labels as a list, or raise an InputError."""
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise InputError(f"fidelity: {name} has {shown(values)}; expected patients or labels, one per tile")
    return list(values)


Tiles = TileSet | TileSelection | TileGroup | Images | tuple[Images, Groups] | tuple[Images, Groups, Labels]
"""What a tile group is made from: a TileSet, some of its tiles, images, or (images, patients[, labels])."""


def seen_and_unseen(real: TileSet, synthetic: TileSet) -> tuple[TileGroup, TileGroup | None]:
    """Divide real tiles into those of donor patients and those of all others.

    Returns
    -------
    donors, held_out : TileGroup, TileGroup or None
        All tiles and None if one part would be empty.
    """
    donors = set(synthetic.patients.tolist())
    own, others = real.rows_of(donors), real.rows_of(set(real.patients.tolist()) - donors)
    whole = TileGroup.of(real, "real")
    if not len(own) or not len(others):
        return whole, None
    return replace(whole, rows=own), replace(whole, name="held_out", rows=others)


def check_alike(groups: Iterable[TileGroup]) -> None:
    """Refuse tile groups that differ in size or scale."""
    every = list(groups)
    sizes = sorted({group.images.shape[1:3] for group in every})
    if len(sizes) > 1:
        raise InputError(
            f"fidelity: tiles of {sizes[0]} and {sizes[1]} px; expected one size, import both alike"
        )
    scales = sorted({group.mpp for group in every if group.mpp is not None})
    if len(scales) > 1:
        raise InputError(
            f"fidelity: tiles at {scales[0]} and {scales[1]} µm/px; expected one scale, import both alike"
        )
