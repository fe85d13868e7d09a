"""Small multiples: the distributions of several measures in real and in synthetic tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.render.figure import BLACK, MUTED, VERMILLION, empty_figure, style, subtitle
from nucleosynth.render.wording import count, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = np.ndarray[Any, np.dtype[np.float64]]

COLUMNS = 4
_POINTS = 160  # of a curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One measure in real and synthetic tiles."""

    name: str
    unit: str  # empty for a pure number
    real: Floats  # (k,)
    synthetic: Floats  # (l,)
    distance: float | None  # in standard deviations of the real values
    reference: float | None  # the same between real patients


def distributions(panels: Sequence[Panel], *, title: str) -> Figure:
    """Draw one panel per measure: the smoothed density of its real and of its synthetic values.

    Parameters
    ----------
    panels : sequence of Panel
        A tile group with fewer than two values has no curve, which the panel states.
    title : str
        Title, such as the class of the tiles.
    """
    if not panels:
        raise InputError("distributions: there is no measure to show")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        figure = empty_figure(2.9 * columns, 2.3 * rows + 0.7)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw(axes, panel)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        named = dict(zip(*reversed(grid.flat[0].get_legend_handles_labels()), strict=True))
        if named:
            figure.legend(named.values(), named, loc="outside lower left", ncols=2)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    low, high = _range(panel)
    places = np.linspace(low, high, _POINTS)
    groups: tuple[tuple[str, Floats, dict[str, Any]], ...] = (
        ("real", panel.real, {"color": BLACK, "linewidth": 1.6}),
        ("synthetic", panel.synthetic, {"color": VERMILLION, "linewidth": 1.6, "linestyle": (0, (4, 1.5))}),
    )
    for name, values, line_style in groups:
        curve = _density(values, low, high)
        if curve is not None:
            axes.plot(places, curve, label=name, **line_style)
            axes.axvline(float(np.median(values)), ymax=0.05, **{**line_style, "linestyle": "-"})
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(panel.unit or "no unit", fontsize=8.5, color=MUTED)
    axes.set_title(panel.name)
    subtitle(axes, _caption(panel))


def _caption(panel: Panel) -> str:
    if panel.distance is None:
        return f"n = {count(len(panel.real))} real, {count(len(panel.synthetic))} synthetic"
    return f"{number(panel.distance, 2)} SD apart; real patients {number(panel.reference, 2)}"


def _range(panel: Panel) -> tuple[float, float]:
    """Return the range of the middle 98 % of real and synthetic values."""
    both = [values for values in (panel.real, panel.synthetic) if len(values)]
    if not both:
        return 0.0, 1.0
    bounds = np.array([np.quantile(values, (0.01, 0.99)) for values in both])
    low, high = float(bounds[:, 0].min()), float(bounds[:, 1].max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _density(values: Floats, low: float, high: float) -> Floats | None:
    """Return the Gaussian kernel density at evenly spaced places; None for fewer than two values.

    Silverman 1986: width by eq. 3.31; mirrored at both ends (section 2.10), since most measures have bounds.
    """
    inside = values[(values >= low) & (values <= high)]
    if len(inside) < 2:
        return None
    quartiles = np.quantile(inside, (0.25, 0.75))
    spread = min(float(np.std(inside)), float(np.ptp(quartiles)) / 1.34) or float(np.std(inside))
    step = (high - low) / (_POINTS - 1)
    width = max(0.9 * spread * len(inside) ** -0.2, step)
    counts = np.bincount(np.rint((inside - low) / step).astype(int), minlength=_POINTS)[:_POINTS]
    mirrored = np.concatenate([counts[::-1], counts, counts[::-1]])
    apart = np.arange(_POINTS)[:, None] + _POINTS - np.arange(3 * _POINTS)
    kernel = np.exp(-0.5 * (apart * step / width) ** 2) / (width * np.sqrt(2 * np.pi))
    density: Floats = kernel @ mirrored / len(values)
    return density
