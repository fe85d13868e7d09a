"""Further figures of a study: confusion, calibration, measures of nuclei, training loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.render.figure import (
    BLACK,
    BLUE,
    INK,
    MUTED,
    SKY,
    VERMILLION,
    WIDTH,
    empty_figure,
    style,
    subtitle,
)
from nucleosynth.render.wording import metric_name, sentence_case
from nucleosynth.study.report.plot_arms import arm_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 16  # letters of a class name next to a matrix


def confusion(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> Figure:
    """Plot one confusion matrix per arm: counts, shaded by the share of the true class.

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
    side = max(1.5, 0.58 * len(classes) + 0.4)
    with style():
        figure = empty_figure(side * columns + 0.9, (side + 0.3) * rows + 0.4)
        axes = figure.subplots(rows, columns, squeeze=False)
        for panel in axes.flat[len(matrices) :]:
            panel.set_axis_off()
        for i, (panel, (arm, matrix)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
            _matrix(panel, np.asarray(matrix, float), classes, named=i % columns == 0)
            panel.set_title(arm, pad=7, fontsize=9)
        figure.supxlabel("predicted class", fontsize=9)
        figure.supylabel("true class", fontsize=9)
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
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 4 else 0, ha="center")
    axes.set_yticks(range(len(names)), names if named else [""] * len(names))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def reliability(curves: Mapping[str, tuple[str, Sequence[Mapping[str, float]]]]) -> Figure:
    """Plot the observed frequency by predicted probability.

    Parameters
    ----------
    curves : mapping of arm to (kind, bins)
        Each bin holds the mean ``predicted`` probability, the ``observed`` share, and ``n`` predictions;
        empty bins may be left out.
    """
    filled = {
        arm: (kind, [one for one in bins if one["n"] and one["predicted"] is not None])
        for arm, (kind, bins) in curves.items()
    }
    if not any(bins for _, bins in filled.values()):
        raise InputError("reliability: there is no bin to show")
    with style():
        figure = empty_figure(0.8 * WIDTH, 0.8 * WIDTH + 0.3)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="as predicted")
        for arm, (kind, bins) in filled.items():
            colour, marker = arm_style(kind)
            most = max((one["n"] for one in bins), default=1)
            x, y = [one["predicted"] for one in bins], [one["observed"] for one in bins]
            sizes = [14 + 42 * one["n"] / most for one in bins]
            axes.plot(x, y, color=colour, linewidth=1.3, alpha=0.7)
            axes.scatter(x, y, s=sizes, color=colour, marker=marker, edgecolors="white", zorder=3, label=arm)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed frequency")
        axes.set_title("Calibration of the predicted probabilities")
        subtitle(axes, "larger marks: more test tiles; below the line: overconfident")
        figure.legend(loc="outside lower left", ncols=3, fontsize=8.5, columnspacing=1.2)
    return figure


def measures_apart(measures: Mapping[str, tuple[float, float | None]]) -> Figure:
    """Plot the distance of synthetic nuclei to real ones in each measure, with real patients as reference.

    Parameters
    ----------
    measures : mapping of measure to (distance, reference)
        Both in standard deviations of the real values; the reference is that of one real patient to the
        others, None where it is unknown.
    """
    if not measures:
        raise InputError("measures_apart: there is no measure to show")
    with style():
        figure = empty_figure(WIDTH, 1.5 + 0.3 * len(measures))
        axes = figure.subplots()
        for row, (distance, reference) in enumerate(measures.values()):
            if reference is not None:
                axes.barh(row, reference, height=0.62, color=BLACK, alpha=0.16, linewidth=0)
                axes.plot([reference, reference], [row - 0.31, row + 0.31], color=BLACK, linewidth=1.6)
            axes.scatter([distance], [row], s=46, color=VERMILLION, marker="D", edgecolors="white", zorder=3)
        names = [sentence_case(metric_name(name)) for name in measures]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("distance in standard deviations of the real values")
        axes.set_title("Nuclei of synthetic tiles compared with real ones")
        subtitle(axes, "diamond: synthetic; bar: one real patient compared with the others")
    return figure


def loss_curve(points: Sequence[tuple[float, float]]) -> Figure:
    """Plot the training loss by step: every logged value and the running mean.

    Parameters
    ----------
    points : sequence of (step, loss)
        As logged, in order.
    """
    if not len(points):
        raise InputError("loss_curve: there is no point to show")
    steps, losses = np.asarray(points, float).T
    with style():
        figure = empty_figure(WIDTH, 3.0)
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
        subtitle(axes, f"{int(steps[-1]):,} steps; lower is better, but says little about how tiles look")
        axes.legend(fontsize=8, loc="upper right")
    return figure
