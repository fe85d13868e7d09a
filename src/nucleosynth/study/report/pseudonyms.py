"""Numbers in place of patient ids, for a report to be shared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nucleosynth.render.wording import is_number


def pseudonymise(record: dict[str, Any], patients: Iterable[str] = ()) -> dict[str, Any]:
    """Write ``patient 1``, ``patient 2`` ... for every patient id, in keys, values and running text.

    Numbers follow the first comparison by patient, from the smallest difference to the largest, then the
    order in which further ids occur: the order reveals nothing that the report does not show anyway.

    Parameters
    ----------
    record : dict
        Plain JSON values; not changed.
    patients : iterable of str
        Ids in addition to the keys of every ``per_patient`` in the record.
    """
    compared: dict[str, float] = {}
    for values in _per_patient(record):
        for patient, value in values.items():
            compared.setdefault(patient, value if is_number(value) else math.inf)
    ids = {*compared, *patients} - {""}
    if not ids:
        return record
    names: dict[str, str] = {}
    any_id = "|".join(re.escape(patient) for patient in sorted(ids, key=lambda name: (-len(name), name)))
    pattern = re.compile(rf"(?<![\w:])(?:{any_id})(?![\w:])")

    def name(patient: str) -> str:
        return names.setdefault(patient, f"patient {len(names) + 1}")

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            renamed = {rename(key): rename(item) for key, item in value.items()}
            return dict(sorted(renamed.items(), key=_number)) if ids.issuperset(value) else renamed
        if isinstance(value, list):
            return [rename(item) for item in value]
        return pattern.sub(lambda found: name(found[0]), value) if isinstance(value, str) else value

    for patient in sorted(compared, key=lambda patient: compared[patient]):
        name(patient)
    return dict(rename(record))


def _per_patient(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping of patients to values, in the order of the record."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "per_patient" and isinstance(item, dict):
                yield item
            else:
                yield from _per_patient(item)
    if isinstance(value, list):
        for item in value:
            yield from _per_patient(item)


def _number(item: tuple[str, Any]) -> int:
    return int(item[0].rpartition(" ")[2])
