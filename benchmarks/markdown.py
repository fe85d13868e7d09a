"""Parts of docs/benchmarks.md: tables, formatted numbers, and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]
PICTURES = Path("results") / "benchmarks"
"""Of the page, below its folder."""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many decimals, `-` where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def significant(value: float, digits: int = 3) -> str:
    """Write a number in so many significant digits, without an exponent."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{float(text):g}"


def machine(environment: Result, *, threads: int, loads: Sequence[float]) -> str:
    """Describe the machine and its load during the measurement."""
    busy = f"{min(loads):.1f}" if len(set(loads)) == 1 else f"{min(loads):.1f} to {max(loads):.1f}"
    peers = environment.get("peers", {})
    names = [f"{name} {version}" for name, version in peers.items()]
    versions = ", ".join([f"torch {environment['versions']['torch']}", *names])
    plural = "" if threads == 1 else "s"
    return (
        f"Measured on {environment['cores']} cores of {environment['cpu']} with {threads} thread{plural} "
        f"({versions}); load of the machine before: {busy}."
    )


def machines(rows: Sequence[Result]) -> str:
    """Describe the machines of the rows, and which rows each measured if there are several."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for row in rows:
        environment = row["environment"]
        groups.setdefault((environment["cpu"], environment["threads"]), []).append(row)
    lines = []
    for members in groups.values():
        environment = members[-1]["environment"]
        loads = [row["load_before"] for row in members]
        which = f" Rows: {', '.join(row['name'] for row in members)}." if len(groups) > 1 else ""
        lines.append(machine(environment, threads=environment["threads"], loads=loads) + which)
    return "\n\n".join(lines)


def interval(found: Sequence[float] | None) -> str:
    """Write an interval."""
    return "-" if found is None else f"{found[0]:.3f} to {found[1]:.3f}"
