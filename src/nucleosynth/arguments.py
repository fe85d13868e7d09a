"""Plain arguments as callers give them, numbers, names and paths: taken, or refused in one line."""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nucleosynth.errors import InputError

T = TypeVar("T")
SHOWN = 60
"""Letters of a wrong value that a message shows."""


def shown(value: object) -> str:
    """Return a short text of one line that shows what was given."""
    kind = type(value).__name__
    if isinstance(value, str | bool | int | float | os.PathLike) or value is None:
        text = repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def as_int(value: Any, name: str, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as int.

    Raises
    ------
    InputError
        Something else, a boolean, or a number below ``least`` or above ``most``.
    """
    try:
        if isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b":
            raise TypeError
        whole = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {shown(value)}; expected a whole number{_range(least, most)}") from None
    if (least is not None and whole < least) or (most is not None and whole > most):
        raise InputError(f"{name} is {whole}; expected a whole number{_range(least, most)}")
    return whole


def as_number(value: Any, name: str, *, least: float | None = None, most: float | None = None) -> float:
    """Return a finite number as float.

    Raises
    ------
    InputError
        Something else, NaN or infinity, or a number below ``least`` or above ``most``.
    """
    wrong = isinstance(value, str | bytes | bool) or getattr(value, "ndim", 0) != 0
    try:
        number = math.nan if wrong else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if (
        not math.isfinite(number)
        or (least is not None and number < least)
        or (most is not None and number > most)
    ):
        raise InputError(f"{name} is {shown(value)}; expected a number{_range(least, most)}")
    return number


def as_flag(value: Any, name: str) -> bool:
    """Return True or False, or raise an InputError."""
    if not isinstance(value, bool) and getattr(getattr(value, "dtype", None), "kind", "") != "b":
        raise InputError(f"{name} is {shown(value)}; expected True or False")
    if getattr(value, "ndim", 0):
        raise InputError(f"{name} is {shown(value)}; expected one of True and False")
    return bool(value)


def as_text(value: Any, name: str, *, such_as: str) -> str:
    """Return a text that is not empty, or raise an InputError with an example."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is {shown(value)}; expected a text such as {such_as!r}")
    return value


def as_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """Return one of some names, or raise an InputError with the nearest and all of them."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    hint = did_you_mean(value, known) if isinstance(value, str) else ""
    raise InputError(f"{name} is {shown(value)}; {hint}expected one of {', '.join(known)}")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"did you mean NAME? "`` with the most similar of some names, or nothing, for a message."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""


def require_count(found: int, count: int | None, name: str) -> None:
    """Refuse another number of entries than there are tiles; None: any."""
    if count is not None and found != count:
        raise InputError(f"{name}: {found} for {count} tiles; give one each")


def as_path(value: Any, name: str) -> Path:
    """Return a path, given as text or as a path; a ``~`` at its start is the home folder.

    Raises
    ------
    InputError
        Something else, an empty text, or one that no path can be.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"{name} is {shown(value)}; expected a path, as text or pathlib.Path")
    path = Path(text)
    return path.expanduser() if text.startswith("~/") else path


def as_instance(value: Any, kind: type[T], name: str, *, how: str) -> T:
    """Return an object of the expected class, or raise an InputError that says how to make one."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is {shown(value)}; expected a {kind.__name__}: {how}")
    return value


def as_names(values: Any, name: str, *, such_as: str, least: int = 1) -> list[str]:
    """Return some names, such as patients, as a list of str; a single text is one name.

    Raises
    ------
    InputError
        No list, one of fewer than ``least`` entries, or an entry that is no text.
    """
    if isinstance(values, str):
        values = [values]
    if isinstance(values, dict | bytes) or not hasattr(values, "__iter__"):
        raise InputError(f"{name} is {shown(values)}; expected a list of names such as [{such_as!r}]")
    found: Sequence[Any] = list(values) if getattr(values, "ndim", 1) else []
    for entry in found:
        if not isinstance(entry, str):
            raise InputError(f"{name} holds {shown(entry)}; expected names such as {such_as!r}")
    if len(found) < least:
        raise InputError(f"{name} is empty; give at least one name such as {such_as!r}")
    return [str(entry) for entry in found]


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}"
    if least is not None:
        return f" of at least {least:g}"
    return "" if most is None else f" of at most {most:g}"
