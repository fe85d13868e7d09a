"""Read a CSV or Parquet table as text, and fill templates such as ``{dataset}_{uid}.png`` from its rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucleosynth.data.readers.labels import is_empty, nearest
from nucleosynth.errors import InputError

Row = dict[str, str]
_FIELD = re.compile(r"\{([^{}]+)\}")
_WHOLE = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, slots=True)
class Cells:
    """A table whose cells are text as written (``002`` stays ``002``)."""

    path: Path
    columns: Sequence[str]
    rows: Sequence[Row]

    def where(self, row: int) -> str:
        """Name a row for a message; the first below the header is 1."""
        return f"{self.path.name} row {row + 1}"

    def require(self, template: str, *, key: str) -> None:
        """Refuse a template, that of the key ``key``, that names a missing column."""
        for name in fields_of(template):
            if name not in self.columns:
                hint = nearest(name, self.columns)
                raise InputError(f"{self.path}: no column `{name}` (data.{key}); {hint}")


def fields_of(template: str) -> list[str]:
    """Return the columns that a template names; text without braces is itself a column."""
    return _FIELD.findall(template) if "{" in template else [template]


def fill(template: str, row: Row) -> str | None:
    """Return a template with a row's cells put in, None where one of them is empty."""
    values = [row[name].strip() for name in fields_of(template)]
    if any(is_empty(value) for value in values):
        return None
    filled = iter(values)
    return _FIELD.sub(lambda _: next(filled), template) if "{" in template else values[0]


def read_cells(path: Path) -> Cells:
    """Read a table: Parquet by its suffix, otherwise text separated by comma, semicolon or tab.

    Raises
    ------
    InputError
        Missing, unreadable or empty table, repeated column, row of another length than the header.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; check the data root and `table`")
    columns, rows = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    for name in columns:
        if columns.count(name) > 1:
            raise InputError(f"{path}: column `{name}` occurs twice; rename one")
    listed = []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise InputError(
                f"{path} row {number}: has {len(row)} fields, the header {len(columns)}; correct it"
            )
        listed.append(dict(zip(columns, row, strict=True)))
    if not listed:
        raise InputError(f"{path}: holds no row below its header")
    return Cells(path, columns, listed)


def _read_csv(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}); save it as CSV in UTF-8") from None
    lines = text.splitlines(keepends=True)
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)
    try:
        table = [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table ({error}); export it again") from None
    if not table:
        raise InputError(f"{path}: is empty; expected a header and one row per image")
    return table[0], iter(table[1:])


def _read_parquet(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:80]
        raise InputError(f"{path}: cannot be read as Parquet ({reason}); export it again") from None
    columns = [table.column(name).to_pylist() for name in range(table.num_columns)]
    rows = ([_text(value) for value in row] for row in zip(*columns, strict=True))
    return list(table.column_names), rows


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas keeps integers with gaps as floats
    return "" if value is None else str(value)


def typed(values: Sequence[str]) -> list[object]:
    """Give a column of text its type: all int, all float (empty cells become NaN), or text as it is."""
    filled = [value.strip() for value in values if not is_empty(value)]
    if not filled or any(_padded(value) for value in filled):
        return list(values)
    if len(filled) == len(values) and all(_WHOLE.fullmatch(value) for value in filled):
        return [int(value) for value in values]
    try:
        return [float("nan") if is_empty(value) else float(value) for value in values]
    except ValueError:
        return list(values)


def _padded(text: str) -> bool:
    """Return whether a number's leading zeros belong to it, as in slide 002."""
    return len(text) > 1 and text.startswith("0") and text[1].isdigit()
