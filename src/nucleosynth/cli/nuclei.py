"""``nucleosynth segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nucleosynth.cli.settings import Out


def segment(
    tiles: Path,
    /,
    *,
    out: Out,
    backend: Annotated[
        str,
        Parameter(help="Segmenter: embedded, classical, torchscript:KIND:PATH or weights:DIRECTORY."),
    ] = "embedded",
    replace: Annotated[bool, Parameter(negative="", help="Replace existing masks.")] = False,
) -> None:
    """Find the nuclei of every tile and write a new TileSet with their masks.

    For example::

        nucleosynth segment runs/tiles --out runs/masked --backend embedded
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.segmentation.tilesets import add_masks

    print(add_masks(TileSet.open(tiles), out, backend=backend, replace=replace).path)
