"""Figures of a study: matplotlib, no window, a palette that is safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.render.figure import (
    BLACK,
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    empty_figure,
    style,
    subtitle,
)
from nucleosynth.render.wording import metric_name, sentence_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KIND_COLOURS = {"real": BLACK, "dose": BLUE, "oversampled": ORANGE, "synthetic-only": VERMILLION}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPoint:
    """One arm of a study on one metric."""

    arm: str
    kind: str  # real | oversampled | dose | synthetic-only
    dose: float | int | None  # float: synthetic share of a batch; int: synthetic tiles added
    values: tuple[float, ...]  # one per classifier seed (and fold)
    difference: float | None = None  # to the real arm, paired by patient
    interval: tuple[float, float] | None = None  # 95 % of that difference


def dose_response(
    points: Sequence[ArmPoint], *, metric: str, patients: int, chance: float | None = None
) -> Figure:
    """Show a metric against the dose and, where there are intervals, the paired differences to real.

    Parameters
    ----------
    points : sequence of ArmPoint
        All arms; doses are all shares or all tile counts, otherwise arms are spaced evenly.
    metric : str
        Name of the metric, e.g. ``balanced_accuracy``.
    patients : int
        Number of test patients.
    chance : float, optional
        Value of a classifier that guesses, drawn as a line if it comes near the data.
    """
    if not points:
        raise InputError("dose_response: there is no arm to show")
    differing = [point for point in points if point.interval is not None]
    with style():
        figure = empty_figure(10.4 if differing else 7.2, 4.1)
        axes = figure.subplots(
            1, 2 if differing else 1, squeeze=False, width_ratios=[3, 2][: 1 + bool(differing)]
        )[0]
        _scores(axes[0], points, metric, chance)
        seeds = max(len(point.values) for point in points)
        axes[0].set_title(f"{sentence_case(metric_name(metric))} on test patients")
        subtitle(axes[0], f"n = {patients} patients; dots: {seeds} trained classifiers per arm, line: mean")
        if differing:
            _forest(axes[1], differing, metric)
    return figure


def _axis(points: Sequence[ArmPoint]) -> tuple[dict[str, float], str]:
    """Where each arm stands on the dose axis (arms that have no dose are left out), and its label."""
    doses = [point.dose for point in points if point.dose is not None]
    counted = [isinstance(dose, int) for dose in doses]
    if any(counted) and not all(counted):
        return {point.arm: i for i, point in enumerate(points)}, "arm, in order of the protocol"
    ends = {"real": 0.0} if any(counted) else {"real": 0.0, "synthetic-only": 100.0}
    factor = 1.0 if any(counted) else 100.0
    places = {point.arm: ends[point.kind] for point in points if point.kind in ends}
    places |= {point.arm: factor * point.dose for point in points if point.dose is not None}
    return places, "synthetic tiles added" if any(counted) else "synthetic share of each training batch (%)"


def _scores(axes: Axes, points: Sequence[ArmPoint], metric: str, chance: float | None) -> None:
    places, label = _axis(points)
    line = sorted(
        (places[p.arm], float(np.mean(p.values)))
        for p in points
        if p.kind in ("real", "dose") and p.arm in places
    )
    axes.plot(*zip(*line, strict=True), color=BLUE, linewidth=1.6, zorder=2) if line else None
    for point in points:
        colour, mean = KIND_COLOURS.get(point.kind, PURPLE), float(np.mean(point.values))
        if point.arm in places:
            x = places[point.arm]
            axes.scatter(
                [x] * len(point.values), point.values, s=16, color=colour, alpha=0.45, linewidths=0, zorder=3
            )
            axes.scatter(
                [x], [mean], s=46, color=colour, edgecolors="white", zorder=4, label=_kind_name(point)
            )
        else:
            axes.axhspan(min(point.values), max(point.values), color=colour, alpha=0.12, linewidth=0)
            axes.axhline(
                mean,
                color=colour,
                linewidth=1.4,
                linestyle=(0, (5, 2)),
                label=f"{_kind_name(point)} (band: range)",
            )
    low, high = axes.get_ylim()
    if chance is not None and low - (high - low) < chance:
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":", label="chance")
    axes.set_xlabel(label)
    axes.set_ylabel(metric_name(metric))
    if label.startswith("arm"):
        axes.set_xticks(list(places.values()), list(places), rotation=20, ha="right")
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each kind of arm once
    axes.figure.legend(
        named.values(), named, loc="outside lower left", ncols=6, fontsize=8.5, columnspacing=1.4
    )


def _kind_name(point: ArmPoint) -> str:
    return "real and synthetic" if point.kind == "dose" else point.kind.replace("-", " ")


def _forest(axes: Axes, points: Sequence[ArmPoint], metric: str) -> None:
    for row, point in enumerate(points):
        assert point.interval is not None
        colour = KIND_COLOURS.get(point.kind, PURPLE)
        axes.plot(point.interval, [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.scatter([point.difference or 0.0], [row], s=46, color=colour, edgecolors="white", zorder=3)
    axes.axvline(0, color=INK, linewidth=1)
    axes.locator_params(axis="x", nbins=6)
    axes.set_yticks(range(len(points)), [point.arm for point in points])
    axes.set_ylim(len(points) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"difference in {metric_name(metric)}")
    axes.set_title("Paired difference to the real arm")
    subtitle(axes, "95 % interval over patients; right of 0 is better")


def patient_differences(
    differences: Mapping[str, Mapping[str, float]], *, metric: str, baseline: str = "real"
) -> Figure:
    """Show every patient's difference to the baseline, for studies too small for an interval.

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
        figure = empty_figure(7.2, 1.7 + 0.42 * len(differences))
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
        axes.set_xlabel(f"difference in {metric_name(metric)}, arm minus {baseline}")
        axes.set_title(f"{sentence_case(metric_name(metric))}: each test patient against the {baseline} arm")
        subtitle(axes, f"n = {patients} patients, one dot each; bar: mean; right of 0 is better")
    return figure


def confusion(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> Figure:
    """Show one confusion matrix per arm: counts, shaded by the share of the true class.

    Parameters
    ----------
    matrices : mapping of arm to (k, k) counts
        Rows are true classes, columns predicted ones; summed over seeds and folds.
    classes : sequence of str
        The k names.
    """
    if not matrices:
        raise InputError("confusion: there is no matrix to show")
    rows = -(-len(matrices) // 4)
    columns = -(-len(matrices) // rows)
    side = max(2.2, 0.62 * len(classes) + 0.9)
    with style():
        figure = empty_figure(side * columns + 0.9, side * rows + 0.5)
        axes = figure.subplots(rows, columns, squeeze=False)
        for panel in axes.flat[len(matrices) :]:
            panel.set_axis_off()
        for i, (panel, (arm, matrix)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
            _matrix(panel, np.asarray(matrix, float), classes, named=i % columns == 0)
            panel.set_title(arm, pad=7)
        figure.supxlabel("predicted class", fontsize=9.5)
        figure.supylabel("true class", fontsize=9.5)
    return figure


def _matrix(
    axes: Axes, counts: np.ndarray[Any, np.dtype[np.float64]], classes: Sequence[str], *, named: bool
) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="equal")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 else INK
        text = f"{counts[row, column]:,.0f}\n{100 * share:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(
        range(len(classes)), list(classes), rotation=30 if max(map(len, classes)) > 4 else 0, ha="center"
    )
    axes.set_yticks(range(len(classes)), list(classes) if named else [""] * len(classes))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def loss_curve(points: Sequence[tuple[float, float]]) -> Figure:
    """Show the training loss by step: every logged value and their running mean.

    Parameters
    ----------
    points : sequence of (step, loss)
        As logged, in order.
    """
    if not len(points):
        raise InputError("loss_curve: there is no point to show")
    steps, losses = np.asarray(points, float).T
    with style():
        figure = empty_figure(6.2, 3.0)
        axes = figure.subplots()
        window = max(1, len(losses) // 20)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axes.plot(steps, losses, color=SKY, linewidth=0.8, alpha=0.7, label="logged")
        axes.plot(
            steps[window // 2 :][: len(smooth)],
            smooth,
            color=BLUE,
            linewidth=1.6,
            label=f"mean of {window} logged values",
        )
        axes.set_xlabel("training step")
        axes.set_ylabel("denoising loss (no unit)")
        if losses.min() > 0 and losses.max() > 5 * losses.min():
            axes.set_yscale("log", subs=[2, 5])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_title("Training loss of the generator")
        subtitle(axes, f"{int(steps[-1]):,} steps; lower is better, but tells little about how tiles look")
        axes.legend(fontsize=8, loc="upper right")
    return figure
