"""The plot of KID by cost: training time, sampling time or patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nucleosynth.render.figure import INK, empty_figure, style, subtitle

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """A measured model in a plot; points of one ``line`` are joined and have one colour."""

    line: str
    label: str
    colour: str
    x: float
    kid: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, row: Mapping[str, Any], x: float, *, line: str, label: str, colour: str) -> Point:
        """Make a point of a row of a result."""
        between = row["fidelity"]["kid_interval"]
        return cls(line, label, colour, x, row["fidelity"]["kid"], between and tuple(between))


def kid_plot(
    points: Sequence[Point], *, title: str, label: str, reference: float | None, colours: str
) -> Figure:
    """Plot KID by time or data: a line for each contender, or a dot for a single point.

    Parameters
    ----------
    reference
        KID *between* patients, drawn as a line.
    colours
        Meaning of the colours.
    """
    from matplotlib.ticker import LogLocator

    with style():
        figure = empty_figure(7.6, 4.6)
        axes = figure.subplots()
        for line in dict.fromkeys(point.line for point in points):
            own = sorted((p for p in points if p.line == line), key=lambda p: p.x)
            colour = own[0].colour
            axes.plot([p.x for p in own], [p.kid for p in own], color=colour, marker="o", linewidth=1.4)
            for turn, point in enumerate(own):
                if point.interval:
                    axes.plot([point.x] * 2, point.interval, color=colour, alpha=0.35, linewidth=1)
                at = (point.x, point.kid)
                offset = (5, -11 if turn % 2 else 4)  # above and below in turn
                axes.annotate(point.label, at, xytext=offset, textcoords="offset points", fontsize=8)
        if reference is not None:
            axes.axhline(reference, color=INK, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        places = sorted({point.x for point in points})
        if len(places) < 5:  # few are named each
            axes.set_xticks(places)
        else:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda _value, _: "")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.3)
        axes.set_xlabel(label)
        axes.set_ylabel("KID to the training patients")
        axes.set_title(title)
        subtitle(axes, f"{colours}; bars: 95 % over patients; dotted: other real patients")
    return figure
