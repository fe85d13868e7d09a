"""Self-contained HTML pages: templates, style and tile pictures, all inline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth.render import wording
from nucleosynth.render.grid import Pixels, grid, png_data_uri
from nucleosynth.render.outlines import Masks, outline_layer

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
TILE_WIDTH = 128  # px on the page that small tiles are enlarged to


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFigure:
    """Tiles as a page shows them: a lossless picture and, if there are masks, outlines to lay over it."""

    picture: str  # data URI, tiles at their own size
    outlines: str | None  # data URI, transparent, at the size on the page
    width: int  # px on the page
    height: int
    tiles: int
    alt: str


def tile_scale(size: int, *, width: int = TILE_WIDTH) -> int:
    """Return the whole number by which a tile of ``size`` px is enlarged to come near ``width`` px."""
    return max(1, round(width / max(size, 1)))


def tile_figure(images: Pixels, masks: Masks | None = None, *, columns: int, alt: str) -> TileFigure:
    """Make the figure of some tiles.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        n >= 1.
    masks : (n, h, w) integer, optional
        Instance labels whose outlines lie over the tiles.
    columns : int
        Tiles per row.
    alt : str
        Description of the picture, for readers who cannot see it.
    """
    scale = tile_scale(images.shape[2])
    picture = grid(images, columns=columns, pad=1)  # the page enlarges it: a fraction of the bytes
    layer = None
    if masks is not None:
        outlines = outline_layer(masks, scale=scale)
        layer = png_data_uri(grid(outlines, columns=columns, pad=scale, background=0))
    return TileFigure(
        picture=png_data_uri(picture),
        outlines=layer,
        width=picture.shape[1] * scale,
        height=picture.shape[0] * scale,
        tiles=len(images),
        alt=alt,
    )


def render_page(template: str, context: Mapping[str, Any], *, folder: Path = TEMPLATES) -> str:
    """Fill a template; every value is escaped, missing values print as nothing.

    Parameters
    ----------
    template : str
        File name inside ``folder``; it may extend or include the templates of this package.
    context : mapping
        The values that the template names.
    folder : Path
        Where the template lies.

    Returns
    -------
    str
        The HTML.
    """
    return str(_environment(folder).get_template(template).render(context))


@cache
def _environment(folder: Path) -> Environment:
    """Return what compiles templates, each once."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (
        wording.number,
        wording.signed,
        wording.interval,
        wording.p_value,
        wording.count,
        wording.percent,
        wording.duration,
        wording.moment,
        wording.metric_name,
        wording.sentence_case,
        wording.setting,
    ):
        environment.filters[write.__name__] = write
    return environment
