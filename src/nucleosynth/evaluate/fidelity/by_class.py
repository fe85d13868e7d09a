"""Fidelity by class, with real-vs-real references of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.features import Extractor, Remembering, get_extractor
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.fidelity.tile_groups import TileGroup

if TYPE_CHECKING:
    from nucleosynth.evaluate.fidelity.tile_groups import Tiles

FEWEST = 20
"""A class with fewer tiles is not scored: its KID would be meaningless."""


def fidelity_by_class(
    real: Tiles,
    synthetic: Tiles,
    *,
    held_out: Tiles | None = None,
    classes: Sequence[str] = (),
    extractor: str | Extractor = "lite0",
    fewest: int = FEWEST,
    **settings: Any,
) -> dict[str, Any]:
    """Score the fidelity of all tiles together and of each class alone; features are computed once.

    Parameters
    ----------
    real, synthetic, held_out : TileSet, TileGroup or (images, groups, labels)
        As in `score.fidelity`, with the class index of each tile. Tiles without a class (negative) count only
        in the whole.
    classes : sequence of str
        Names of the classes; if empty, those of the TileSets.
    extractor : str or Extractor
        Network whose features are compared.
    fewest : int
        Fewest real and synthetic tiles of a class that is scored, and fewest held-out tiles for its *between*
        reference.
    **settings
        `limit`, `halves`, `resamples` and `seed` of `score.fidelity`.

    Returns
    -------
    dict
        The result of `score.fidelity`, and `by_class`, the same of each class by name, None with too few
        tiles. `warnings` name what is left out.

    Raises
    ------
    InputError
        As `fidelity`, with the name of the class; tiles without labels, or TileSets of different classes.
    """
    network = get_extractor(extractor) if isinstance(extractor, str) else extractor
    once = network if isinstance(network, Remembering) else Remembering(network)
    given = {"real": real, "synthetic": synthetic, "held_out": held_out}
    groups = {name: TileGroup.of(tiles, name) for name, tiles in given.items() if tiles is not None}
    names = _class_names(groups, classes)
    whole = _scores(groups, once, settings)
    by_class: dict[str, Any] = {}
    for label, name in enumerate(names):
        some = {group: tiles.of_class(label) for group, tiles in groups.items()}
        few = [f"{len(tiles)} {group}" for group, tiles in some.items() if len(tiles) < fewest]
        if few:
            line = f"class {name}: {', '.join(few)} tiles; expected at least {fewest} each"
            whole["warnings"].append(line)
        if min(len(some["real"]), len(some["synthetic"])) < fewest:
            by_class[name] = None
            continue
        enough = {group: tiles for group, tiles in some.items() if len(tiles) >= fewest}
        try:
            by_class[name] = _scores(enough, once, settings)
        except InputError as error:
            raise InputError(f"class {name}: {error}") from error
    return {**whole, "by_class": by_class}


def _scores(groups: dict[str, TileGroup], network: Extractor, settings: dict[str, Any]) -> dict[str, Any]:
    return fidelity(
        groups["real"], groups["synthetic"], held_out=groups.get("held_out"), extractor=network, **settings
    )


def _class_names(groups: dict[str, TileGroup], classes: Sequence[str]) -> list[str]:
    for group in groups.values():
        if group.labels is None:
            raise InputError(
                f"fidelity by class: {group.name} has no labels; expected the class of each tile"
            )
    stated = {group.classes for group in groups.values() if group.classes}
    if classes:
        stated = {tuple(classes)}
    if len(stated) > 1:
        one, other = sorted(stated)[:2]
        raise InputError(
            f"fidelity by class: classes {', '.join(one)} and {', '.join(other)}; "
            "expected the same in the same order, import both alike"
        )
    if not stated:
        raise InputError("fidelity by class: the classes have no names; give them as `classes`")
    return list(stated.pop())
