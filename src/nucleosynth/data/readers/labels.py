"""How readers read ids, labels and empty cells, and hints at the nearest name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from nucleosynth.errors import InputError

DatasetName = Annotated[str, Field(pattern=r"^[^:\s]+$", description="what precedes the colon of every id")]
EMPTY = frozenset({"", "na", "nan", "none", "null"})  # how tables write "no value"
_TRUTH = {"true": 1, "yes": 1, "false": 0, "no": 0}


def qualified(dataset: str, name: str) -> str:
    """Return ``<dataset>:<name>``, or ``name`` as it is where it has a colon already."""
    return name if ":" in name else f"{dataset}:{name}"


def is_empty(text: str) -> bool:
    """Return whether a table cell is empty: no text, NA, NaN, None or null."""
    return text.strip().lower() in EMPTY


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a hint that names the nearest option, or all of them where none is near."""
    listed = sorted(set(options))
    near = difflib.get_close_matches(name, listed[:20_000], n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    more = ", ..." if len(listed) > 8 else ""
    return f"there is {', '.join(listed[:8])}{more}" if listed else "there is none"


def class_index(text: str, classes: Sequence[str], *, where: str) -> int | None:
    """Read a label: a class name, then true/false of two classes, then an index; None where it is empty.

    Names go before indices: with classes ``["1", "2", "3"]`` the label ``2`` is the class named ``2``.

    Raises
    ------
    InputError
        Outside the classes; ``where`` says where the label stands.
    """
    value = text.strip()
    folded = [name.casefold() for name in classes]
    if folded.count(value.casefold()) == 1:
        return folded.index(value.casefold())
    if is_empty(value):
        return None
    if len(classes) == 2 and value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    number = _number(value)
    if number is not None and number.is_integer() and 0 <= number < len(classes):
        return int(number)
    raise InputError(
        f"{where}: label `{value}` is outside the classes {', '.join(classes)} (0-{len(classes) - 1}); "
        "correct it, or leave it empty for no label"
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
