"""The section of docs/benchmarks.md on initial weights and its plots, from its result file alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.kid_plot import Point, kid_plot
from benchmarks.markdown import PICTURES, Result, interval, machines, markdown_table, number, significant
from nucleosynth.render.figure import BLUE, GREEN, ORANGE, PURPLE, save_figure

NOTHING = "none"
COLOURS = {NOTHING: ORANGE, "prior": BLUE, "nucleosynth/tissue-prior-noamibr": GREEN}
NAMES = {
    NOTHING: "from scratch",
    "prior": "from the prior",
    "nucleosynth/tissue-prior-noamibr": "without AMi-Br",
}


def section_transfer(result: Result) -> str:
    """What initial weights are worth, by training time and by patients."""
    settings, data, rows = result["settings"], result["data"], result["rows"]
    reference = rows[0]["fidelity"]["real_reference"]
    return "\n\n".join(
        [
            "## What initial weights are worth",
            f"{data['name']}, {data['tile']} px at {data['mpp']} µm/px, on which no shipped prior was "
            "trained. A short timed probe turns the minutes into steps; *measured* is the time they took. "
            "Training uses all training patients, or the first few of a fixed random order. "
            f"{settings['samples']} tiles for masks of the {settings['part']} patient; KID to all "
            f"{data['train']['patients']} training patients by {settings['extractor']}; mask judge: "
            f"{settings['judge']}. One training seed; intervals are over patients. KID of real tiles "
            "of unseen "
            f"patients: {number(reference['between'])} ({reference['n']} tiles per group).",
            _table(rows),
            *(f"![{title}]({PICTURES / file})" for file, (title, _, _) in transfer_plots(result).items()),
            machines([{**row, "name": f"{_name(row)} {row['budget']['minutes']:g} min"} for row in rows]),
        ]
    )


def _name(row: Result) -> str:
    return NAMES.get(row["start"], f"from {row['start']}")


def _table(rows: Sequence[Result]) -> str:
    head = [
        "patients",
        "minutes",
        "initial weights",
        "learning rate",
        "steps",
        "measured",
        "KID",
        "95 %",
        "agreement",
        "coverage",
    ]
    return markdown_table(
        head,
        [
            [
                str(row["patients"]),
                significant(row["budget"]["minutes"]),
                _name(row),
                f"{row['lr']:g}",
                f"{row['steps']:,}",
                f"{row['train_seconds'] / 60:.1f}",
                number(row["fidelity"]["kid"]),
                interval(row["fidelity"]["kid_interval"]),
                number(row["agreement"]["corrected"], 2),
                number(row["coverage"]["of_real"], 2),
            ]
            for row in rows
        ],
    )


def transfer_plots(result: Result) -> dict[str, tuple[str, str, list[Point]]]:
    """Return the plots that there is data for: file name to title, axis and points.

    Of several learning rates of the same initial weights, the plots show that of most rows.
    """
    rows = _usual(result["rows"])
    most = max(row["patients"] for row in rows)
    found = {}
    timed = [row for row in rows if row["patients"] == most]
    if len({row["budget"]["minutes"] for row in timed}) > 1:
        points = _points(timed, lambda row: float(row["steps"]))  # minutes of two machines do not compare
        found["transfer_by_steps.png"] = ("KID by training steps", "training steps", points)
    few = [row for row in rows if row["patients"] < most]
    if few:
        budget = few[0]["budget"]
        points = _points([row for row in rows if row["budget"] == budget], lambda row: float(row["patients"]))
        title = f"KID by number of training patients, {budget['minutes']:g} minutes of training"
        found["transfer_by_patients.png"] = (title, "training patients", points)
    return found


def _usual(rows: Sequence[Result]) -> list[Result]:
    """Keep one learning rate for the same initial weights: that of most rows."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row["start"], []).append(row["lr"])
    return [row for row in rows if row["lr"] == max(rates[row["start"]], key=rates[row["start"]].count)]


def _points(rows: Sequence[Result], x: Callable[[Result], float]) -> list[Point]:
    """Make rows points; the last of each line carries its name."""
    last = {row["start"]: max(x(other) for other in rows if other["start"] == row["start"]) for row in rows}
    points = []
    for row in rows:
        name = _name(row)
        label = name if x(row) == last[row["start"]] else ""
        colour = COLOURS.get(row["start"], PURPLE)
        points.append(Point.of(row, x(row), line=name, label=label, colour=colour))
    return points


def save_transfer_plots(result: Result, folder: Path) -> list[Path]:
    """Draw the plots."""
    reference = result["rows"][0]["fidelity"]["real_reference"]["between"]
    return [
        save_figure(
            kid_plot(points, title=title, label=label, reference=reference, colours="lines: initial weights"),
            folder / file,
        )
        for file, (title, label, points) in transfer_plots(result).items()
    ]
