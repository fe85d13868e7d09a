"""The numbers of a study as CSV files: every run, every arm, every comparison."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleosynth.files import write_text
from nucleosynth.study.report.queries import Record, arm_kinds, segmenter_rows

Row = Mapping[str, Any]
SPREAD = ("mean", "min", "max")


def write_tables(record: Record, out: Path) -> list[Path]:
    """Write ``results.csv``, ``arms.csv``, ``comparisons.csv`` and ``segmenters.csv`` where they have rows.

    Parameters
    ----------
    record : mapping
        Plain JSON values, as in ``report.json``.
    out : Path
        Output directory.

    Returns
    -------
    list of Path
        The files written. Columns are separated by commas, the first line names them, an unknown value is
        empty.
    """
    tables = {
        "results": [_result(one) for one in record.get("results") or []],
        "arms": [_arm(record, one) for one in record.get("arms") or []],
        "comparisons": [_comparison(one) for one in record.get("comparisons") or []],
        "segmenters": [_segmenter(arm, compared) for arm, compared in segmenter_rows(record)],
    }
    written = []
    for name, rows in tables.items():
        if rows:
            written.append(out / f"{name}.csv")
            write_text(written[-1], _csv(rows))
    return written


def _csv(rows: Sequence[Row]) -> str:
    """Return rows as text; the columns are those of all rows, in the order in which they occur."""
    text = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _result(run: Row) -> dict[str, Any]:
    """Return the row of one classifier; ``validation_`` marks scores on the validation patients."""
    validation = {name: value for name, value in run["validation"].items() if name in run["metrics"]}
    return {
        **{key: run.get(key) for key in ("fold", "fraction", "arm", "generator", "seed")},
        **run["metrics"],
        **{f"validation_{name}": value for name, value in validation.items()},
        **{key: run.get(key) for key in ("threshold", "steps", "seconds")},
    }


def _arm(record: Record, arm: Row) -> dict[str, Any]:
    """Return the row of one arm at one data fraction."""
    kind, classes = arm_kinds(record).get(arm["arm"], {}), (record.get("data") or {}).get("classes") or []
    calibration, patients = arm.get("calibration") or {}, arm.get("patient_level") or {}
    return {
        **{key: arm.get(key) for key in ("fraction", "arm")},
        **{key: kind.get(key) for key in ("kind", "dose", "filter")},
        "runs": arm.get("runs"),
        **_spreads(arm["metrics"]),
        **{
            f"{score}_{name}": value
            for name, scores in zip(classes, arm.get("per_class") or [], strict=False)
            for score, value in scores.items()
        },
        **_spreads({name: calibration[name] for name in ("ece", "brier") if name in calibration}),
        **_spreads(
            {f"patient_{name}": patients[name] for name in ("balanced_accuracy", "auroc") if name in patients}
        ),
        **({"patients_scored": patients["n"], "patients_left_out": patients["left_out"]} if patients else {}),
    }


def _spreads(spreads: Mapping[str, Row]) -> dict[str, Any]:
    return {f"{name}_{key}": spread.get(key) for name, spread in spreads.items() for key in SPREAD}


def _comparison(one: Row) -> dict[str, Any]:
    """Return the row of one comparison; ``low`` and ``high`` are the bounds of its 95 % interval."""
    low, high = one.get("interval") or (None, None)
    counts = ("n_patients", "n_seeds", "n_generators")
    return {
        **{key: one.get(key) for key in ("fraction", "arm", "baseline", "metric", "difference")},
        "low": low,
        "high": high,
        **{key: one.get(key) for key in ("p_value", "p_holm", *counts, "verdict")},
    }


def _segmenter(arm: Row, compared: Mapping[str, Row]) -> dict[str, Any]:
    """Return the row of one segmentation arm at one data fraction, with its differences from ``real``."""
    row = {**{key: arm.get(key) for key in ("fraction", "arm", "runs")}, **_spreads(arm["metrics"])}
    for metric in arm["metrics"]:
        one = compared.get(metric, {})
        low, high = one.get("interval") or (None, None)
        row |= {f"{metric}_difference": one.get("difference"), f"{metric}_low": low, f"{metric}_high": high}
    return row
