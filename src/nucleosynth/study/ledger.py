"""Which protocols looked at which test patients on this machine, across the directories of studies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nucleosynth.data.cache import cache_home
from nucleosynth.runs import append_jsonl, now, read_jsonl


def enter_protocol(patients: Iterable[str], *, name: str, protocol_hash: str) -> list[dict[str, Any]]:
    """Note that a protocol is about to look at test patients, and return who did so before.

    The same protocol run again is no new look: its choices are the same.

    Parameters
    ----------
    patients
        The test patients of all folds; the same set has the same ledger, whatever else a study holds.

    Returns
    -------
    The first entry of each other protocol, in order of time: ``{"time", "name", "protocol_hash"}``.
    """
    ledger = _ledger(patients)
    entries = read_jsonl(ledger)
    if all(entry["protocol_hash"] != protocol_hash for entry in entries):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        append_jsonl(ledger, {"time": now(), "name": name, "protocol_hash": protocol_hash})
    own = [at for at, entry in enumerate(entries) if entry["protocol_hash"] == protocol_hash]
    return entries[: own[0]] if own else entries


def _ledger(patients: Iterable[str]) -> Path:
    key = hashlib.sha256("\n".join(sorted(set(patients))).encode()).hexdigest()
    return cache_home() / "looks" / f"{key[:32]}.jsonl"
