"""Differences between arms: all arms compared with real, and each patient where patients are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.render.figure import BLUE, HAIRLINE, INK, MUTED, WIDTH, empty_figure, style, subtitle
from nucleosynth.render.wording import metric_name, sentence_case
from nucleosynth.study.report.plot_arms import arm_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRIMARY_SIZE, SIZE = 84, 46


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of one arm from the baseline."""

    arm: str
    kind: str
    estimate: float
    interval: tuple[float, float]  # 95 %
    primary: bool = False  # the arm that the claim is about


def forest(columns: Mapping[str, Sequence[Difference]], *, patients: int, baseline: str = "real") -> Figure:
    """Plot the difference of every arm from the baseline with its interval, one column per metric.

    Parameters
    ----------
    columns : mapping of metric to sequence of Difference
        The arms may differ between metrics; rows follow the first metric that has them. The primary arm is
        shaded, its name is bold and its mark is larger.
    patients : int
        Number of test patients.
    baseline : str
        Name of the arm compared with.
    """
    arms = list(dict.fromkeys(one.arm for found in columns.values() for one in found))
    if not arms:
        raise InputError("forest: there is no difference to show")
    primary = {one.arm for found in columns.values() for one in found if one.primary}
    with style():
        figure = empty_figure(WIDTH, 1.75 + 0.3 * len(arms))
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, (metric, found) in zip(panels, columns.items(), strict=True):
            _column(axes, found, arms)
            axes.set_title(sentence_case(metric_name(metric)), pad=7)
        panels[0].set_yticks(range(len(arms)), arms)
        for label in panels[0].get_yticklabels():
            label.set_color(INK)
            label.set_fontweight("bold" if label.get_text() in primary else "normal")
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        figure.supxlabel(
            f"difference to {baseline}, 95 % interval over {patients} patients; right of 0 is better",
            fontsize=8.5,
            color=MUTED,
        )
    return figure


def _column(axes: Axes, found: Sequence[Difference], arms: Sequence[str]) -> None:
    for one in found:
        row, (colour, marker) = arms.index(one.arm), arm_style(one.kind)
        if one.primary:
            axes.axhspan(row - 0.48, row + 0.48, color=HAIRLINE, alpha=0.7, linewidth=0, zorder=0)
        axes.plot(one.interval, [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        size = PRIMARY_SIZE if one.primary else SIZE
        axes.scatter([one.estimate], [row], s=size, color=colour, marker=marker, edgecolors="white", zorder=3)
    axes.axvline(0, color=INK, linewidth=1)
    axes.locator_params(axis="x", nbins=3)
    axes.grid(visible=False, axis="y")


def patient_differences(
    differences: Mapping[str, Mapping[str, float]], *, metric: str, baseline: str = "real"
) -> Figure:
    """Plot every patient's difference from the baseline, for studies too small for an interval.

    Parameters
    ----------
    differences : mapping of arm to mapping of patient to difference
        Arm minus baseline.
    metric : str
        Name of the metric.
    baseline : str
        Name of the arm compared with.
    """
    if not differences:
        raise InputError("patient_differences: there is no arm to show")
    patients = max(len(values) for values in differences.values())
    with style():
        figure = empty_figure(WIDTH, 1.7 + 0.42 * len(differences))
        axes = figure.subplots()
        for row, values in enumerate(differences.values()):
            found = np.array([value for value in values.values() if value is not None], float)
            offsets = np.linspace(-0.18, 0.18, len(found)) if len(found) > 1 else np.zeros(len(found))
            axes.scatter(found, row + offsets, s=30, color=BLUE, alpha=0.75, linewidths=0)
            if len(found):
                axes.plot([found.mean()] * 2, [row - 0.3, row + 0.3], color=INK, linewidth=1.6)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(range(len(differences)), list(differences))
        axes.set_ylim(len(differences) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(f"difference in {metric_name(metric)}, arm minus {baseline}")
        axes.set_title(f"{sentence_case(metric_name(metric))}: each test patient")
        subtitle(axes, f"n = {patients} patients, one dot each; bar: mean; right of 0 is better")
    return figure
