"""The common style of figures: a colour-blind-safe palette, PNG and SVG without a window."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth.files import partial
from nucleosynth.render.grid import data_uri

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
INK, MUTED, HAIRLINE = "#1d1b20", "#6a6570", "#dad5dd"
WIDTH = 5.4
"""Width in inches of a figure that takes half a page and is still readable on a phone."""
STYLE: Any = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titlepad": 20, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.grid": True, "grid.color": HAIRLINE, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "figure.facecolor": "white", "svg.hashsalt": "nucleosynth",
    "text.parse_math": False,  # a class called "$x$" is a name
}  # fmt: skip


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG: the file appears whole or not at all."""
    with partial(path) as unfinished, style():
        figure.savefig(unfinished, format="png", dpi="figure")
    return path


def svg_data_uri(figure: Figure) -> str:
    """Return a figure as an SVG ``data:`` URI that needs no font and no network."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are made and saved; the user's own style stays."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def empty_figure(width: float, height: float, *, dpi: int = 150) -> Figure:
    """Return an empty figure in inches; made without pyplot, so no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def subtitle(axes: Axes, text: str) -> None:
    """Write a second, smaller line under the title: n, and how to read the marks."""
    axes.annotate(
        text,
        (0, 1),
        xytext=(0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color=MUTED,
    )
