"""``nucleosynth data``: import, check, show, split and export tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from nucleosynth.cli.settings import Out, Root, Seed, Settings, StudyFile, load_section
from nucleosynth.render.wording import scale_text

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet

app = App(name="data", help="Import, check, show, split and export tiles.", help_format="plaintext")


@app.command(name="import")
def import_(
    study: Path | None = None,
    /,
    *,
    out: Out,
    root: Root = None,
    nuclei: Annotated[str | None, Parameter(help="Segmenter that finds nuclei in the whole frames.")] = None,
    settings: Settings = None,
) -> None:
    r"""Read images into a TileSet: those that a study names, or those of the settings `data` and `tiles`.

    For example::

        nucleosynth data import studies/amibr.yaml --data.root DIR --out runs/tiles
        nucleosynth data import --data.reader folder --data.dataset lab \
            --data.images DIR --data.mpp 0.25 --tiles.size 128 --out runs/tiles
    """
    from nucleosynth.config import load_yaml, override, parse
    from nucleosynth.data.readers import ImportConfig
    from nucleosynth.segmentation.frames import import_tiles

    stated = load_yaml(study) if study else {}
    wanted = override({key: stated[key] for key in ("data", "tiles") if key in stated}, settings or ())
    config = parse(ImportConfig, wanted, source=str(study or "settings"))
    print(_summary(import_tiles(config.data, config.tiles, root=root or Path(), out=out, nuclei=nuclei)))


@app.command
def verify(tiles: Path, /) -> None:
    """Check that every tile of a TileSet decodes to the pixels that were written.

    For example::

        nucleosynth data verify runs/tiles
    """
    from nucleosynth.data.tileset import TileSet

    opened = TileSet.open(tiles)
    opened.verify()
    print(_summary(opened))


@app.command
def show(tiles: Path, /, *, out: Path) -> None:
    """Write a contact sheet: one HTML page with tiles of every class, nuclei outlined.

    For example::

        nucleosynth data show runs/tiles --out runs/tiles.html
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.render.contact_sheet import contact_sheet

    contact_sheet(TileSet.open(tiles), out)
    print(out)


@app.command
def split(
    tiles: Path, /, *, out: Path, study: StudyFile = None, root: Root = None, settings: Settings = None
) -> None:
    r"""Split a TileSet by patient into training, validation and test parts.

    For example::

        nucleosynth data split runs/tiles --split.fractions "[0.7, 0.15, 0.15]" \
            --out runs/split.json
    """
    from nucleosynth.data.split_rules import SplitConfig, make_split
    from nucleosynth.data.tileset import TileSet

    config = load_section(SplitConfig, "split", study=study, settings=settings)
    made = make_split(TileSet.open(tiles), config, root or Path())
    made.save(out)
    for number, fold in enumerate(made.folds):
        parts = ", ".join(f"{part} {len(getattr(fold, part))}" for part in ("train", "validation", "test"))
        print(f"fold {number}, patients: {parts}")


@app.command
def merge(
    tiles: Path,
    /,
    *more: Path,
    out: Out,
    labels: Annotated[bool, Parameter(help="Keep classes, labels and ratings.")] = True,
) -> None:
    """Write several TileSets as one: the same tile size, µm/px and, with labels, classes.

    For example::

        nucleosynth data merge runs/site-a runs/site-b --out runs/both
    """
    from nucleosynth.data.merge import merge_tilesets
    from nucleosynth.data.tileset import TileSet

    parts = [TileSet.open(path) for path in (tiles, *more)]
    print(_summary(merge_tilesets(parts, out, unlabelled=not labels)))


@app.command
def export(
    tiles: Path,
    /,
    *,
    out: Out,
    layout: Annotated[
        Literal["images", "imagefolder"], Parameter(help="One folder of images, or one per class.")
    ] = "images",
) -> None:
    """Write a TileSet as plain image and mask files for other tools.

    For example::

        nucleosynth data export runs/tiles --out exported --layout imagefolder
    """
    from nucleosynth.data.export import export_tiles
    from nucleosynth.data.tileset import TileSet

    export_tiles(TileSet.open(tiles), out, layout=layout)
    print(out)


@app.command
def phantom(
    *, out: Out, patients: int = 12, tiles: int = 480, size: int = 64, mpp: float = 0.5, seed: Seed = 0
) -> None:
    """Draw phantom tissue with known nuclei and classes, to try everything without data.

    For example::

        nucleosynth data phantom --patients 12 --tiles 480 --out runs/phantom

    Parameters
    ----------
    patients
        Number of patients.
    tiles
        Number of tiles over all patients.
    size
        Edge of a tile, px.
    mpp
        Scale, µm/px.
    """
    from nucleosynth.config import parse
    from nucleosynth.data.phantom.tissue import PhantomConfig
    from nucleosynth.data.readers import import_tiles
    from nucleosynth.data.tiling import TilesConfig

    request = {"reader": "phantom", "patients": patients, "tiles": tiles, "seed": seed}
    config = parse(PhantomConfig, request, source="phantom")
    grid = parse(TilesConfig, {"size": size, "mpp": mpp}, source="phantom")
    print(_summary(import_tiles(config, grid, root=Path(), out=out)))


def _summary(tiles: TileSet) -> str:
    height, width = tiles.size
    parts = [
        f"{len(tiles)} tiles of {width}x{height} px",
        scale_text(tiles.mpp),
        f"{len(set(tiles.patients) - {''})} patients",
        f"classes {', '.join(tiles.classes) or 'none'}",
    ]
    return f"{tiles.path}: {'; '.join(parts)}"
