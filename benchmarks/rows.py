"""Results that grow row by row: a header that all rows share, and a row of each key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_json


def put_row(
    path: Path,
    header: Mapping[str, Mapping[str, Any]],
    row: Mapping[str, Any],
    *,
    keys: Sequence[str],
    order: Callable[[Mapping[str, Any]], Any],
) -> None:
    """Put a row into a result in place of the one that equals it in ``keys``.

    Parameters
    ----------
    header
        Parts of the result that two rows must share to be compared.
    order
        Sort key of rows.

    Raises
    ------
    InputError
        The file holds rows that cannot be compared with this one.
    """
    shared: dict[str, dict[str, Any]] = json.loads(json.dumps(header))
    stored: dict[str, Any] = read_json(path) if path.exists() else {**shared, "rows": []}
    for part, values in shared.items():
        other = stored.get(part, {})
        differing = [key for key in values | other if values.get(key) != other.get(key)]
        if differing:
            first = differing[0]
            raise InputError(
                f"{path}: its {part} are others ({first}: {other.get(first)!r:.60}, here "
                f"{values.get(first)!r:.60}); choose another --result"
            )
    kept = [r for r in stored["rows"] if any(r[key] != row[key] for key in keys)]
    write_json(path, {**stored, "rows": sorted([*kept, dict(row)], key=order)})
