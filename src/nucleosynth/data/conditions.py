"""What tiles are to be, as callers give it: classes, stains, indices; taken, or refused in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.arguments import as_int, did_you_mean, require_count, shown
from nucleosynth.data.arrays import plain_array
from nucleosynth.errors import InputError

Label = int | str | None
Labels = Label | Sequence[Label] | NDArray[Any]
"""Classes: indices or names; None or -1 = no class. One stands for all tiles."""


def as_labels(
    labels: Any, classes: Sequence[str], *, count: int | None = None, name: str = "labels"
) -> list[int]:
    """Return the class of each tile as an index.

    Parameters
    ----------
    labels
        One per tile: index or name of a class, None or -1 = no class. A single one stands for all tiles.
    classes
        Names in the order of the indices.
    count
        How many tiles there are; None: as many as labels.

    Returns
    -------
    list of int, -1 = no class.

    Raises
    ------
    InputError
        An unknown name or index, something that is neither, or another number of labels than tiles.
    """
    if labels is None or isinstance(labels, str) or (_ndim(labels) == 0 and not hasattr(labels, "keys")):
        return [_label(labels, classes, name)] * (1 if count is None else count)
    if isinstance(labels, Mapping | bytes) or _ndim(labels) != 1:
        raise InputError(f"{name} are {shown(labels)}; expected one class per tile, by index or name")
    found = [_label(label, classes, name) for label in labels]
    require_count(len(found), count, name)
    return found


def as_stain(stain: Any, count: int, *, values: int = 6, name: str = "stain") -> NDArray[np.float32]:
    """Return stain descriptors, one per tile.

    Parameters
    ----------
    stain : (values,) or (count, values)
        Finite numbers; one descriptor stands for all tiles.

    Returns
    -------
    (count, values) float32

    Raises
    ------
    InputError
        Another shape, or something that is no finite number.
    """
    expected = f"expected {values} numbers, or {count} times {values}"
    array = plain_array(stain, name, expected, mode=None)
    if array.dtype.kind not in "iuf" or array.shape not in ((values,), (count, values)):
        raise InputError(f"{name} is {array.dtype} {array.shape}; {expected}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds values that are not finite; {expected}")
    return np.array(np.broadcast_to(array, (count, values)), dtype=np.float32)


def as_indices(indices: Any, *, count: int | None = None, name: str = "indices") -> list[int]:
    """Return sample indices, whole numbers from 0, as a list of int; ``count``: how many they must be."""
    if isinstance(indices, str | bytes | Mapping) or _ndim(indices) != 1:
        raise InputError(f"{name} is {shown(indices)}; expected a list of whole numbers from 0")
    found = [as_int(index, name, least=0, most=2**63 - 1) for index in indices]
    require_count(len(found), count, name)
    return found


def _label(label: Any, classes: Sequence[str], name: str) -> int:
    if label is None:
        return -1
    known = ", ".join(classes) or "none"
    if isinstance(label, str):
        if label in classes:
            return list(classes).index(label)
        hint = did_you_mean(label, classes)
        raise InputError(f"{name}: unknown class {label!r}; {hint}known are {known}")
    index = as_int(label, name)
    if not -1 <= index < len(classes):
        raise InputError(f"{name}: label {index} is outside the classes ({known}); -1 = no class")
    return index


def _ndim(value: Any) -> int:
    """Return the number of axes; -1 of lists that are no array."""
    try:
        return np.ndim(value)
    except ValueError:
        return -1
