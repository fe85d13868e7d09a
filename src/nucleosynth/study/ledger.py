"""Which protocols looked at which test patients on this machine, across the directories of studies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import takewhile
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
    own = {hashlib.sha256(patient.encode()).hexdigest()[:16] for patient in patients}
    first: dict[str, dict[str, Any]] = {}
    for entry in read_jsonl(ledger):
        if not own.isdisjoint(entry["patients"]):
            first.setdefault(entry["protocol_hash"], entry)
    if protocol_hash not in first:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        entry = {"time": now(), "name": name, "protocol_hash": protocol_hash, "patients": sorted(own)}
        append_jsonl(ledger, entry)
    before = takewhile(lambda entry: entry["protocol_hash"] != protocol_hash, first.values())
    return [
        {
            **{key: entry[key] for key in ("time", "name", "protocol_hash")},
            "shared": len(own.intersection(entry["patients"])),
        }
        for entry in before
    ]
