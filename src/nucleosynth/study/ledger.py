"""Which protocols looked at which test patients on this machine, across the directories of studies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from nucleosynth.runs import append_jsonl, now, read_jsonl

LEDGER = "looks.jsonl"


def ledger_path() -> Path:
    """Return where looks are kept: below ``NUCLEOSYNTH_STATE``, or in the user's state directory.

    Never in a cache, which may be cleared.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(os.environ.get("NUCLEOSYNTH_STATE") or Path(base) / "nucleosynth") / LEDGER


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
    ledger = ledger_path()
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
