"""Renders docs/benchmarks.md and its plots from benchmarks/results/*.json alone.

python -m benchmarks.table
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cyclopts

from benchmarks.kid_plot import Point, kid_plot
from benchmarks.markdown import PICTURES
from benchmarks.sections import SECTIONS
from benchmarks.transfer_section import save_transfer_plots
from nucleosynth.files import read_json, write_text
from nucleosynth.render.figure import BLUE, ORANGE, save_figure

HOME = Path(__file__).parents[1]
RESULTS, PAGE = HOME / "benchmarks" / "results", HOME / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

This page is rendered by `python -m benchmarks.table` from `benchmarks/results/*.json`. Those files hold
settings, versions, seeds and every raw value. Do not edit either by hand. The machines are shared and noisy:
compare values within a table, not between tables. Each result is made by the module of its name, such as
`python -m benchmarks.segmentation`. The [glossary](glossary.md) explains the terms."""
WIDTH = 118
QUALITY, TRANSFER = "training_quality", "transfer"
OURS = "ours"


def read_results(folder: Path) -> dict[str, Any]:
    """Read all results that the page knows."""
    paths = {name: folder / f"{name}.json" for name in SECTIONS}
    return {name: read_json(path) for name, path in paths.items() if path.exists()}


def render(results: Mapping[str, Any]) -> str:
    """Return the page for results by name."""
    blocks = [INTRODUCTION]
    for name, section in SECTIONS.items():
        if name in results:
            blocks.append(section(results[name]))
            if name == QUALITY:
                blocks += [
                    f"![{text}]({PICTURES / file})" for file, (text, _) in plots(results[name]).items()
                ]
    paragraphs = "\n\n".join(blocks).split("\n\n")
    return "\n\n".join(wrapped(paragraph) for paragraph in paragraphs) + "\n"


def wrapped(paragraph: str) -> str:
    """Break the lines of running text; tables, headings and pictures stay as they are."""
    if paragraph.startswith(("|", "#", "!")):
        return paragraph
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)


def plots(result: Mapping[str, Any]) -> dict[str, tuple[str, list[Point]]]:
    """Return the plots that the quality benchmark has data for: file name to what it shows and its points.

    Rows that lead from the peers to ours, `+ ...`, are for the table.
    """
    timed = [row for row in result["rows"] if "minutes" in row["budget"] and not row["name"].startswith("+")]
    found = {}
    budgets = {row["budget"]["minutes"] for row in timed}
    if len(budgets) > 1:
        several = [row for row in timed if sum(other["name"] == row["name"] for other in timed) > 1]
        points = [_point(row, row["budget"]["minutes"], joined=False) for row in several]
        found["kid_by_training_time.png"] = ("KID by minutes of training", points)
    if budgets:
        longest = [row for row in timed if row["budget"]["minutes"] == max(budgets)]
        points = [_point(row, 1 / row["tiles_per_second"], joined=not row["peer"]) for row in longest]
        found["kid_by_sampling_time.png"] = ("KID by seconds of sampling per tile", points)
    return {file: shown for file, shown in found.items() if shown[1]}


def _point(row: Mapping[str, Any], x: float, *, joined: bool) -> Point:
    """Make a row a point; where rows of ours are ``joined``, each is labelled by how it differs."""
    line, label = (OURS, row["name"].removeprefix(f"{OURS}, ")) if joined else (row["name"], row["name"])
    return Point.of(row, x, line=line, label=label, colour=ORANGE if row["peer"] else BLUE)


COLOURS = "blue: this project, orange: peers"
LABELS = {
    "kid_by_training_time.png": "minutes of training",
    "kid_by_sampling_time.png": "seconds of sampling per tile",
}


def save_plots(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the plots of the quality benchmark."""
    reference = result["rows"][0]["fidelity"]["real_reference"]["between"]
    return [
        save_figure(
            kid_plot(points, title=title, label=LABELS[file], reference=reference, colours=COLOURS),
            folder / file,
        )
        for file, (title, points) in plots(result).items()
    ]


def main(*, results: Path = RESULTS, page: Path = PAGE) -> None:
    """Render the page and its plots."""
    found = read_results(results)
    write_text(page, render(found))
    if QUALITY in found:
        save_plots(found[QUALITY], page.parent / PICTURES)
    if TRANSFER in found:
        save_transfer_plots(found[TRANSFER], page.parent / PICTURES)
    print(page)


if __name__ == "__main__":
    cyclopts.run(main)
