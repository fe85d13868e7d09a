"""Registries: named choices in settings, each imported at its first use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from nucleosynth.arguments import did_you_mean
from nucleosynth.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """Objects by name, such as readers, samplers or segmenters.

    Adding one is one module and one line: its name, and where the object is.

    Parameters
    ----------
    kind
        Kind of the objects for messages: ``sampler``.
    entries
        By name, the object or ``"module:attribute"``, which is imported at its first use.
    """

    def __init__(self, kind: str, entries: Mapping[str, T | str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, Any] = dict(entries or {})
        self._loaded: dict[str, T] = {}

    def register(self, name: str, entry: T | str) -> None:
        """Add an object, or replace the one of the same name."""
        self._entries[name] = entry
        self._loaded.pop(name, None)

    def get(self, name: object) -> T:
        """Return the object with a name.

        Raises
        ------
        InputError
            The name is unknown; the message lists the nearest and all known ones.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise InputError(self.unknown(name))
        if name not in self._loaded:
            entry = self._entries[name]
            self._loaded[name] = imported(entry) if isinstance(entry, str) else entry
        return self._loaded[name]

    def unknown(self, name: object) -> str:
        """Return the message for an unknown name."""
        given = " ".join(repr(name).split())[:60]
        return f"unknown {self.kind} {given}; {did_you_mean(name, self)}known are {', '.join(self)}"

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which they were added."""
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries


def imported(place: str) -> Any:
    """Import the attribute that ``"module:attribute"`` names."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
