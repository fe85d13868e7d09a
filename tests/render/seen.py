"""The texts of a figure, as a reader sees them."""

from __future__ import annotations

from matplotlib.figure import Figure


def texts(figure: Figure) -> str:
    """Every word of a figure, a line each."""
    parts = [figure.get_supxlabel(), figure.get_supylabel(), figure.get_suptitle()]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        parts += [text.get_text() for text in axes.texts]
        parts += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return "\n".join(parts)
