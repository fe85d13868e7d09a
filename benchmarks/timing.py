"""Timing of works in turn, with each time stored at once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleosynth.files import append_jsonl, read_jsonl, write_jsonl

Work = Callable[[int], object]
"""Given the number of its round, from 1; 0 warms up."""
Times = dict[str, dict[str, list[float]]]


def rounds(names: Iterable[str], *, repeats: int, once: Sequence[str] = ()) -> list[tuple[int, str]]:
    """Return the order of timing: works in turn, round after round, those of ``once`` only in the first."""
    every = list(names)
    return [(turn, name) for turn in range(1, repeats + 1) for name in every if turn == 1 or name not in once]


class Kept:
    """Times on disk: an interrupted measurement continues with those that it has.

    Parameters
    ----------
    path
        A JSON-lines file; a last line that a kill cut short is dropped.
    works
        Description of each work as plain data: times of a work with another description are ignored.
    """

    def __init__(self, path: Path, works: Mapping[str, Any]) -> None:
        self.path = path
        self._what = {name: _digest(what) for name, what in works.items()}
        self._stored = read_jsonl(path)
        if path.exists():
            write_jsonl(path, self._stored)

    def find(self, name: str, turn: int) -> dict[str, float] | None:
        """Return the time of a work in a round and the load before it, or None."""
        wanted = (name, turn, self._what[name])
        for record in reversed(self._stored):
            if (record["name"], record["turn"], record["what"]) == wanted:
                return {key: record[key] for key in ("seconds", "load_before")}
        return None

    def add(self, name: str, turn: int, found: Mapping[str, float]) -> None:
        """Keep a time."""
        record = {"name": name, "turn": turn, "what": self._what[name], **found}
        append_jsonl(self.path, record)
        self._stored.append(record)

    def forget(self) -> None:
        """Drop all times of these works, so that the next measurement is a new one."""
        self._stored = [record for record in self._stored if record["name"] not in self._what]
        write_jsonl(self.path, self._stored)


def alternate(
    works: Mapping[str, Work],
    *,
    repeats: int,
    once: Sequence[str] = (),
    warmed: bool = False,
    kept: Kept | None = None,
) -> Times:
    """Time works in turn, round after round.

    Parameters
    ----------
    once
        Works of the first round alone, which are not warmed up.
    warmed
        That all are warm, by `warm_up`; else each of the others runs once before the rounds.
    kept
        Where times are kept and those of a killed measurement are found.

    Returns
    -------
    Seconds and the load of the machine before each.
    """
    if not warmed:
        for name, work in works.items():
            if name not in once:
                work(0)
    found: Times = {name: {"seconds": [], "load_before": []} for name in works}
    for turn, name in rounds(works, repeats=repeats, once=once):
        timed = kept.find(name, turn) if kept else None
        if timed is None:
            load, started = os.getloadavg()[0], time.perf_counter()
            works[name](turn)
            timed = {"seconds": time.perf_counter() - started, "load_before": load}
            if kept:
                kept.add(name, turn, timed)
        for key, values in found[name].items():
            values.append(timed[key])
    return found


def warm_up(pieces: Mapping[str, Work]) -> dict[str, float]:
    """Run a short piece of each work twice and return the seconds of the second time."""
    seconds = {}
    for name, piece in pieces.items():
        piece(0)
        started = time.perf_counter()
        piece(0)
        seconds[name] = time.perf_counter() - started
    return seconds


def _digest(what: object) -> str:
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
