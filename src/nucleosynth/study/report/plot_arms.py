"""Scores of a study's arms by dose, and by the fraction of the training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.render.figure import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    empty_figure,
    style,
    subtitle,
)
from nucleosynth.render.wording import metric_name, sentence_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {
    "real": (BLACK, "o"),
    "augmented": (ORANGE, "s"),
    "oversampled": (ORANGE, "^"),
    "natural": (ORANGE, "v"),
    "dose": (BLUE, "D"),
    "filtered": (SKY, "h"),
    "rare-only": (SKY, "P"),
    "pretrained": (PURPLE, "p"),
    "held-back": (GREEN, "<"),
    "shuffled": (VERMILLION, "X"),
    "synthetic-only": (VERMILLION, "s"),
}
"""Colour by purpose of the arm, marker by kind; no two kinds share both."""
OTHER = (BLUE, "*")
DOSE_MARKERS = ("D", "^", "s", "v")
NO_SYNTHESIS = ("augmented", "oversampled", "natural")
DASHES = {"augmented": (0, (6, 2)), "oversampled": (0, (2, 1.5)), "natural": (0, (6, 2, 1, 2))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPoint:
    """One arm of a study, at one fraction of the training patients, on one metric."""

    arm: str
    kind: str
    dose: float | int | None = None  # float: synthetic share of a batch; int: synthetic tiles added
    fraction: float = 1.0  # of the training patients
    values: tuple[float, ...]  # one per classifier trained
    difference: float | None = None  # from the real arm at the same fraction, paired by patient
    interval: tuple[float, float] | None = None  # 95 % of that difference


def arm_style(kind: str) -> tuple[str, Any]:
    """Return colour and marker of a kind of arm."""
    return STYLES.get(kind, OTHER)


def dose_response(
    points: Sequence[ArmPoint], *, metric: str, patients: int, chance: float | None = None
) -> Figure:
    """Plot a metric by dose and, if there are intervals, the paired differences from real below it.

    Parameters
    ----------
    points : sequence of ArmPoint
        At one data fraction. Doses are all shares or all tile counts, otherwise they are spaced evenly; arms
        without synthetic tiles are lines, and arms of other questions are left out.
    metric : str
        Name of the metric, e.g. ``balanced_accuracy``.
    patients : int
        Number of test patients.
    chance : float, optional
        Chance level, drawn as a line if it is near the data.
    """
    if not any(point.kind == "dose" for point in points):
        raise InputError("dose_response: there is no dose to show")
    places, label = _dose_axis(points)
    placed = [point for point in points if point.arm in places]
    joined = sorted(
        (point for point in placed if point.kind in ("real", "dose")), key=lambda p: places[p.arm]
    )
    with style():
        figure, scores, differences = _panels(placed, metric)
        scores.plot(
            [places[p.arm] for p in joined], [_mean(p) for p in joined], color=BLUE, linewidth=1.6, zorder=2
        )
        for point in placed:
            name = {"dose": "real and synthetic"}.get(point.kind, point.kind.replace("-", " "))
            _runs(scores, places[point.arm], point, name=name)
            _bar(differences, places[point.arm], point)
        for point in points:
            if point.kind in NO_SYNTHESIS:
                _line(scores, point)
        _chance(scores, chance)
        seeds = max(len(point.values) for point in points)
        scores.set_title(f"{sentence_case(metric_name(metric))} by dose")
        subtitle(scores, f"n = {patients} test patients; dots: {seeds} classifiers per arm, line: mean")
        _foot(figure, scores, differences, label)
        if label.startswith("arm"):
            lowest = differences or scores
            lowest.set_xticks(list(places.values()), list(places), rotation=20, ha="right")
    return figure


def data_fractions(points: Sequence[ArmPoint], *, metric: str, patients: int) -> Figure:
    """Plot a metric by data fraction, and the paired differences from real below it.

    Parameters
    ----------
    points : sequence of ArmPoint
        Some arms at each fraction.
    metric : str
        Name of the metric.
    patients : int
        Number of test patients.
    """
    data_fractions = sorted({point.fraction for point in points})
    if len(data_fractions) < 2:
        raise InputError("data_fractions: there is no second fraction to show")
    arms: dict[str, list[ArmPoint]] = {}
    for point in sorted(points, key=lambda point: point.fraction):
        arms.setdefault(point.arm, []).append(point)
    with style():
        figure, scores, differences = _panels(points, metric)
        compared = [arm for arm, line in arms.items() if any(point.interval for point in line)]
        doses = [arm for arm, line in arms.items() if line[0].kind == "dose"]
        for arm, line in arms.items():
            colour, marker = arm_style(line[0].kind)
            marker = DOSE_MARKERS[doses.index(arm) % len(DOSE_MARKERS)] if arm in doses else marker
            dashes = DASHES.get(line[0].kind, "-")
            where = [100 * point.fraction for point in line]
            scores.plot(where, [_mean(p) for p in line], color=colour, linewidth=1.6, linestyle=dashes)
            aside = _aside(compared.index(arm), len(compared)) if arm in compared else 0.0
            for point in line:
                _runs(scores, 100 * point.fraction, point, name=arm, marker=marker)
                _bar(differences, 100 * point.fraction + aside, point, marker=marker)
        scores.set_title(f"{sentence_case(metric_name(metric))} by fraction of the training patients")
        subtitle(scores, f"n = {patients} test patients, the same throughout; small dots: single classifiers")
        _foot(figure, scores, differences, "training patients (%)")
        (differences or scores).set_xticks([100 * fraction for fraction in data_fractions])
    return figure


def _mean(point: ArmPoint) -> float:
    return float(np.mean(point.values))


def _aside(index: int, count: int) -> float:
    """Return the shift of a bar among those at one fraction, in % of the patients."""
    return 1.6 * (index - (count - 1) / 2)


def _dose_axis(points: Sequence[ArmPoint]) -> tuple[dict[str, float], str]:
    """Return the position of each arm on the dose axis, and the label of the axis."""
    doses = {point.arm: point.dose for point in points if point.kind == "dose" and point.dose is not None}
    counted = [isinstance(dose, int) for dose in doses.values()]
    if any(counted) and not all(counted):
        names = [point.arm for point in points if point.kind in ("real", "dose")]
        return {name: float(i) for i, name in enumerate(names)}, "arm, in order of the protocol"
    ends = {"real": 0.0} if any(counted) else {"real": 0.0, "synthetic-only": 100.0}
    factor = 1.0 if any(counted) else 100.0
    places = {point.arm: ends[point.kind] for point in points if point.kind in ends}
    places |= {arm: factor * dose for arm, dose in doses.items()}
    return places, "synthetic tiles added" if any(
        counted
    ) else "synthetic fraction of each training batch (%)"


def _panels(points: Sequence[ArmPoint], metric: str) -> tuple[Figure, Axes, Axes | None]:
    """Make the panels: scores above; differences below if there are intervals."""
    if not any(point.interval for point in points):
        figure = empty_figure(WIDTH, 3.9)
        scores = figure.subplots()
        scores.set_ylabel(metric_name(metric))
        return figure, scores, None
    figure = empty_figure(WIDTH, 5.4)
    scores, differences = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    scores.set_ylabel(metric_name(metric))
    differences.set_ylabel("difference to real")
    differences.axhline(0, color=INK, linewidth=1)
    subtitle(differences, "paired difference, 95 % interval over patients; above 0 is better")
    return figure, scores, differences


def _runs(axes: Axes, place: float, point: ArmPoint, *, name: str, marker: Any = None) -> None:
    colour, own = arm_style(point.kind)
    axes.scatter(
        [place] * len(point.values), point.values, s=14, color=colour, alpha=0.45, linewidths=0, zorder=3
    )
    axes.scatter(
        [place],
        [_mean(point)],
        s=56,
        color=colour,
        marker=marker or own,
        edgecolors="white",
        zorder=4,
        label=name,
    )


def _bar(axes: Axes | None, place: float, point: ArmPoint, *, marker: Any = None) -> None:
    if axes is None or point.interval is None or point.difference is None:
        return
    colour, own = arm_style(point.kind)
    axes.plot([place, place], point.interval, color=colour, linewidth=2.2, solid_capstyle="butt")
    mark = marker or own
    axes.scatter([place], [point.difference], s=46, color=colour, marker=mark, edgecolors="white", zorder=3)


def _line(axes: Axes, point: ArmPoint) -> None:
    axes.axhline(
        _mean(point),
        color=arm_style(point.kind)[0],
        linewidth=1.4,
        linestyle=DASHES[point.kind],
        label=f"{point.kind} (mean)",
    )


def _chance(axes: Axes, chance: float | None) -> None:
    low, high = axes.get_ylim()
    if chance is not None and low - (high - low) < chance:
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":", label="chance")


def _foot(figure: Figure, scores: Axes, differences: Axes | None, label: str) -> None:
    (differences or scores).set_xlabel(label)
    named: Mapping[str, Any] = dict(zip(*reversed(scores.get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named, loc="outside lower left", ncols=3, fontsize=8.5, columnspacing=1.2)
