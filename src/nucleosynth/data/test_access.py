"""The test-set access log of this machine: which protocols read which test patients, over all runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from nucleosynth.errors import InputError
from nucleosynth.files import append_jsonl, now, read_jsonl, user_folder

ACCESS_LOG = "test_access.jsonl"
TEST_ACCESS = "test_access.jsonl"
"""File in a run's directory with its own test-set accesses, each recorded just before it."""


def access_log_path() -> Path:
    """Return the path of the access log: below ``NUCLEOSYNTH_STATE``, or in the user's state directory.

    Never in a cache, which may be cleared.
    """
    return user_folder("STATE", ".local/state") / ACCESS_LOG


def require_access_log() -> None:
    """Refuse, before hours of training, an access log that cannot be written."""
    path = access_log_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}), and test-set access is logged there; set "
            "NUCLEOSYNTH_STATE to a folder that can"
        ) from None


def log_protocol(
    patients: Iterable[str], *, name: str, protocol_hash: str, made_of: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Record that a protocol is about to read test patients, and return the protocols that read some before.

    The same protocol on the same patients is not recorded again, as its choices are the same.

    Parameters
    ----------
    patients
        The test patients of all folds; the log holds their hashes.
    made_of
        Hashes of data that the protocol names but does not contain: its tiles, a pretrained generator.

    Returns
    -------
    The first entry of each other protocol that came before and shares a patient, in order of time:
    ``{"time", "name", "protocol_hash", "shared"}``, the last the number of patients.
    """
    log = access_log_path()
    own = {hashlib.sha256(patient.encode()).hexdigest()[:16] for patient in patients}
    first: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in read_jsonl(log):
        if not own.isdisjoint(entry["patients"]):
            first.setdefault((entry["protocol_hash"], *entry.get("made_of", ())), entry)
    this = (protocol_hash, *made_of)
    if this not in first:
        known = {"name": name, "protocol_hash": protocol_hash, "made_of": list(made_of)}
        append_jsonl(log, {"time": now(), **known, "patients": sorted(own)})
    return [
        {
            **{key: entry[key] for key in ("time", "name", "protocol_hash")},
            "shared": len(own.intersection(entry["patients"])),
        }
        for _, entry in takewhile(lambda known: known[0] != this, first.items())
    ]
