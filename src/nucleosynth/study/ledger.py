"""Which protocols looked at which test patients on this machine, across the directories of studies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from nucleosynth.data.cache import cache_home
from nucleosynth.runs import append_jsonl, now, read_jsonl

LEDGER = "looks.jsonl"


def enter_protocol(patients: Iterable[str], *, name: str, protocol_hash: str) -> list[dict[str, Any]]:
    """Note that a protocol is about to look at test patients, and return who had looked at some of them.

    The same protocol run again is no new look: its choices are the same.

    Parameters
    ----------
    patients
        The test patients of all folds; the ledger holds their hashes.

    Returns
    -------
    The first entry of each other protocol that came before and shares a patient, in order of time:
    ``{"time", "name", "protocol_hash", "shared"}``, the last the number of patients.
    """
    ledger = cache_home() / LEDGER
    own = sorted({hashlib.sha256(patient.encode()).hexdigest()[:16] for patient in patients})
    entries = [entry for entry in read_jsonl(ledger) if set(own) & {*entry["patients"]}]
    known = [at for at, entry in enumerate(entries) if entry["protocol_hash"] == protocol_hash]
    if not known:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        entry = {"time": now(), "name": name, "protocol_hash": protocol_hash, "patients": own}
        append_jsonl(ledger, entry)
    before = entries[: known[0]] if known else entries
    first = {entry["protocol_hash"]: entry for entry in reversed(before)}
    return [_told(entry, own) for entry in before if first[entry["protocol_hash"]] is entry]


def _told(entry: dict[str, Any], own: list[str]) -> dict[str, Any]:
    """Return an entry with the number of shared patients in place of their hashes."""
    kept = {key: value for key, value in entry.items() if key != "patients"}
    return {**kept, "shared": len({*own} & {*entry["patients"]})}
