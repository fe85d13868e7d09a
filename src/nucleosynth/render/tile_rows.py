"""Named rows of tiles as one figure, every pixel as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nucleosynth.errors import InputError
from nucleosynth.render.figure import INK, MUTED, empty_figure, style
from nucleosynth.render.grid import Pixels, grid
from nucleosynth.render.page import tile_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN, GAP, DPI = 150, 6, 100  # px left of the rows, px between tiles, px per inch


def tile_rows(rows: Mapping[str, Pixels], *, title: str, note: str = "") -> Figure:
    """Show rows of tiles, each row named: a picture for the documentation.

    Parameters
    ----------
    rows : mapping of name to (n, h, w, 3) uint8
        One row each; rows may differ in n, and in size where one is an enlargement of the other.
    title, note : str
        Title, and a smaller second line.
    """
    if not rows or not all(len(images) for images in rows.values()):
        raise InputError("tile_rows: there is no tile to show")
    cell = max(images.shape[2] * tile_scale(images.shape[2]) for images in rows.values())
    pictures = {
        name: grid(images, columns=len(images), scale=max(1, cell // images.shape[2]), pad=GAP)
        for name, images in rows.items()
    }
    width = MARGIN + max(picture.shape[1] for picture in pictures.values()) + GAP
    height = (64 if note else 40) + sum(picture.shape[0] + GAP for picture in pictures.values())
    with style():
        figure = empty_figure(width / DPI, height / DPI, dpi=DPI)
        top = height
        for text, size, colour in ((title, 11, INK), (note, 9, MUTED)) if note else ((title, 11, INK),):
            top -= 26
            figure.text(GAP / width, top / height, text, fontsize=size, color=colour)
        top -= 12
        for name, picture in pictures.items():
            top -= picture.shape[0]
            figure.figimage(picture, MARGIN, top)  # pixel by pixel: resampling would break thin outlines
            middle = (top + picture.shape[0] / 2) / height
            figure.text((MARGIN - 12) / width, middle, name, ha="right", va="center", fontsize=10)
            top -= GAP
    return figure
