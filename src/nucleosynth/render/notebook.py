"""What objects show of themselves in a notebook: pieces of HTML that carry their own style and pictures.

All take plain data and escape every value. A piece has no script and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from nucleosynth.render.grid import Pixels, grid, png_data_uri
from nucleosynth.render.outlines import Masks, draw_outlines
from nucleosynth.render.wording import scale_text

Rows = Iterable[Sequence[object]]
THUMBNAIL = 96
"""px of a tile on the page."""
COLUMNS = 6

_BOX = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;max-width:52rem"
_TABLE = "border-collapse:collapse;margin:6px 0;font-size:inherit"
_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;white-space:normal"


def box(title: str, *parts: str) -> str:
    """Return one piece: a title, then parts that are HTML already."""
    return f'<div style="{_BOX}"><b>{escape(title)}</b>{"".join(parts)}</div>'


def line(text: object) -> str:
    """Return a text as a line of its own."""
    return f'<div style="margin:2px 0">{escape(str(text))}</div>'


def table(rows: Rows, *, head: Sequence[str] = ()) -> str:
    """Return rows of values as a table; nothing where there is no row."""
    cells = [[escape("" if value is None else str(value)) for value in row] for row in rows]
    if not cells:
        return ""
    top = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>" for row in cells
    )
    top = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<table style="{_TABLE}">{top}<tbody>{body}</tbody></table>'


def thumbnails(images: Pixels, masks: Masks | None = None, *, columns: int = COLUMNS) -> str:
    """Return tiles as one picture, near `THUMBNAIL` px each, nuclei outlined where there are masks.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        n >= 1.
    masks : (n, h, w) integer, optional
    """
    side = max(images.shape[1:3])
    step = max(1, side // (2 * THUMBNAIL))  # of large tiles every second pixel, or fewer
    small = np.ascontiguousarray(images[:, ::step, ::step])
    scale = max(1, round(THUMBNAIL / max(small.shape[1:3])))
    if masks is not None:
        small = draw_outlines(small, np.ascontiguousarray(masks[:, ::step, ::step]), scale=scale)
        scale = 1
    picture = grid(small, columns=columns, scale=scale, pad=3)
    alt = f"{len(images)} tiles"
    return (
        f'<img alt="{alt}" src="{png_data_uri(picture)}" width="{picture.shape[1]}" '
        f'height="{picture.shape[0]}" style="max-width:100%;height:auto;image-rendering:pixelated">'
    )


def tiles_html(
    title: str, facts: Sequence[str], counts: Rows, images: Pixels | None, masks: Masks | None
) -> str:
    """Return what a set of tiles shows: facts, a table of classes and some tiles.

    Parameters
    ----------
    facts
        Short texts, put on one line.
    counts
        (class, tiles, patients) of each class.
    images, masks
        (n, h, w, 3) uint8 and (n, h, w) integer of the tiles to show, or None.
    """
    pictures = "" if images is None else thumbnails(images, masks)
    return box(title, line("; ".join(facts)), table(counts, head=("class", "tiles", "patients")), pictures)


def generator_html(facts: Mapping[str, Any]) -> str:
    """Return what a generator shows of itself; nothing is sampled.

    Parameters
    ----------
    facts
        ``name``, ``recipe``, ``size`` (px), ``mpp`` (µm/px or None), ``classes`` (names), ``masks`` (whether
        it reads masks), ``patients`` (how many it was trained on), ``steps``, ``parameters``,
        ``initial_weights`` (a name or None), ``student`` (sampling steps of a distilled one, or None). What
        is missing is left out.
    """
    size, mpp, start = facts.get("size"), facts.get("mpp"), facts.get("initial_weights")
    rows = [
        ("recipe", facts.get("recipe")),
        ("tiles", None if size is None else f"{size}×{size} px, {scale_text(mpp)}"),
        ("classes", _listed(facts.get("classes"))),
        ("nuclei masks", None if "masks" not in facts else "read" if facts["masks"] else "not read"),
        ("training patients", _count(facts.get("patients"))),
        ("training steps", _count(facts.get("steps"))),
        ("initial weights", None if "initial_weights" not in facts else start or "none: from scratch"),
        ("student", None if not facts.get("student") else f"distilled, {facts['student']} sampling steps"),
        ("parameters", _count(facts.get("parameters"))),
    ]
    hint = "See tiles of it with ns.preview(generator); nothing was sampled for this."
    return box(
        f"Generator {facts.get('name') or ''}".strip(), table(row for row in rows if row[1]), line(hint)
    )


def _listed(names: Sequence[str] | None) -> str | None:
    return None if names is None else ", ".join(names) or "none"


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"
