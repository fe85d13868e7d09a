"""The report of a study as an object: a path for programs, the verdict and the key numbers in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nucleosynth.files import read_json
from nucleosynth.render.notebook import box, line, table
from nucleosynth.render.wording import metric_name

Record = Mapping[str, Any]
DECIMALS = 3
LINES = 10
"""Lines of the verdict that a notebook shows; those of the primary arm come first."""


class StudyReport:
    """The report of a study; made by `run_study`.

    It stands for the path of ``report.html``: ``open(report)``, ``str(report)`` and what a `Path` can do work
    on it.

    Attributes
    ----------
    path : Path
        ``report.html``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything in the report as plain data: the content of ``report.json``.

        Raises
        ------
        InputError
            The file is not there or damaged.
        """
        return dict(read_json(self.path.with_name("report.json")))

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"StudyReport({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return self.path == (other.path if isinstance(other, StudyReport) else other)

    def __hash__(self) -> int:
        return hash(self.path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # the protocols of copy, pickle and notebooks are its own
            raise AttributeError(name)
        return getattr(self.path, name)

    def _repr_html_(self) -> str:
        """Show the verdict, the arms and the key numbers in a notebook."""
        record = self.record
        verdict = record.get("verdict") or {}
        metrics, lines = _metrics(record), verdict.get("lines") or []
        more = len(lines) - LINES
        return box(
            f"Study {record.get('name') or ''}: {verdict.get('headline') or 'no verdict yet'}",
            *(line(text) for text in lines[:LINES]),
            *([line(f"{more} more comparisons are in the report.")] if more > 0 else []),
            table(_arm_rows(record, metrics), head=("arm", "runs", *map(metric_name, metrics))),
            table(_numbers(record)),
            line(f"The whole report: {self.path}"),
        )


def _metrics(record: Record) -> list[str]:
    """Return the metrics to show: those of the protocol which the arms have."""
    arms = record.get("arms") or []
    wanted = (record.get("protocol") or {}).get("metrics") or []
    return [name for name in wanted if any(name in (arm.get("metrics") or {}) for arm in arms)]


def _arm_rows(record: Record, metrics: list[str]) -> Iterator[list[object]]:
    """Yield name, runs and mean [least, largest] of each metric, at the largest data fraction."""
    arms = record.get("arms") or []
    most = max((arm.get("fraction") or 1 for arm in arms), default=1)
    for arm in arms:
        if (arm.get("fraction") or 1) == most:
            spreads = [(arm.get("metrics") or {}).get(name) or {} for name in metrics]
            yield [arm.get("arm"), arm.get("runs"), *(_spread(one) for one in spreads)]


def _spread(one: Record) -> str:
    mean, low, high = (one.get(key) for key in ("mean", "min", "max"))
    if mean is None:
        return "–"
    span = "" if low is None or high is None else f" [{low:.{DECIMALS}f}, {high:.{DECIMALS}f}]"
    return f"{mean:.{DECIMALS}f}{span}"


def _numbers(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the key numbers that the record has."""
    data, fidelity = record.get("data") or {}, (record.get("fidelity") or {}).get("test") or {}
    agreement = (record.get("agreement") or {}).get("test") or {}
    copied = ((record.get("memorization") or {}).get("copies") or {}).get("synthetic") or {}
    reference = fidelity.get("real_reference") or {}
    counts = [
        f"{count:,} {name}"
        for name, count in (("tiles", data.get("tiles")), ("patients", data.get("patients")))
        if count is not None
    ]
    parts = data.get("parts") or {}
    test = (parts.get("test") or {}).get("patients")
    numbers = {
        "data": ", ".join([*counts, *([f"{test} of them held-out for the test"] if test else [])]),
        "KID of synthetic tiles": _number(fidelity.get("kid"), reference.get("between"), "real-vs-real"),
        "mask agreement (IoU)": _number(agreement.get("iou"), agreement.get("chance"), "chance level"),
        "copies of training tiles": "" if copied.get("copies") is None else f"{copied['copies']}",
    }
    yield from ((name, text) for name, text in numbers.items() if text)


def _number(value: object, other: object, what: str) -> str:
    if not isinstance(value, int | float):
        return ""
    more = f" ({what} {other:.4f})" if isinstance(other, int | float) else ""
    return f"{value:.4f}{more}"
