"""The records of a training run, ``metrics.jsonl``; free of torch."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.files import read_jsonl, write_jsonl

METRICS_FILE = "metrics.jsonl"


def cut_back(path: Path, step: int) -> None:
    """Drop the records after a checkpoint, as their steps are repeated."""
    if path.exists():
        write_jsonl(path, [record for record in read_jsonl(path) if record["step"] <= step])


def trained_seconds(run: Path) -> float:
    """Return the seconds that the steps of a run took, over all its sittings."""
    return round(sum(float(record["seconds"]) for record in read_jsonl(run / METRICS_FILE)), 1)
