"""``nucleosynth layouts``: fit a layout model to real masks, draw new masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from nucleosynth.cli.settings import DialOptions, Out, Seed, open_split
from nucleosynth.errors import InputError

app = App(
    name="layouts",
    help="Invent nuclei masks: fit a model to real ones, draw new ones.",
    help_format="plaintext",
)


@app.command
def fit(
    tiles: Path,
    /,
    *,
    split: Path,
    out: Annotated[Path, Parameter(help="JSON file to write.")],
    fold: int = 0,
    seed: Seed = 0,
) -> None:
    """Fit a model of size, shape, density and spacing of nuclei, by class.

    For example::

        nucleosynth layouts fit runs/tiles --split runs/split.json --out runs/layouts.json

    Parameters
    ----------
    tiles
        TileSet with masks.
    split
        Split file; only the training patients of the fold are read.
    fold
        Fold of the split file, counted from 0.
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.layouts.fit import fit_layouts

    patients = open_split(split, fold).folds[fold].train
    model = fit_layouts(TileSet.open(tiles), patients, seed=seed)
    model.save(out)
    print(out)


@app.command
def draw(
    model: Path,
    /,
    *,
    out: Out,
    tiles: int = 64,
    label: str | None = None,
    labels: Literal["as-train", "balanced"] = "as-train",
    dial: DialOptions = DialOptions(),  # noqa: B008 - frozen
    size: int | None = None,
    mpp: float | None = None,
    regions: Literal["nests", "glands"] | None = None,
    seed: Seed = 0,
) -> None:
    """Draw new masks into a folder: masks.npy, a picture of the first ones, and layouts.json.

    For example::

        nucleosynth layouts draw runs/layouts.json --tiles 100 --dial.size-ratio 1.5 --out runs/drawn

    Parameters
    ----------
    model
        File that `nucleosynth layouts fit` wrote.
    tiles
        Number of layouts to draw.
    label
        Class of all layouts.
    labels
        Without --label: class frequencies as in training, or all classes equal.
    size
        px, of square layouts; default: that of the training tiles.
    mpp
        µm per px; default: that of the training tiles.
    regions
        Outlines to fill, drawn at random: nests of cells, or glands with a lumen.
    """
    from nucleosynth.layouts.model import LayoutModel
    from nucleosynth.layouts.provider import choose_labels, write_layouts
    from nucleosynth.layouts.regions import random_regions

    learned = LayoutModel.load(model)
    side = size or learned.size[0]
    if tiles < 1:
        raise InputError(f"--tiles {tiles}: expected 1 or more")
    areas = None
    if regions is not None:
        lumen = 0.4 if regions == "glands" else 0.0
        areas = random_regions(tiles, size=side, mpp=mpp or learned.mpp, lumen=lumen, seed=seed)
    drawn = write_layouts(
        out,
        learned,
        labels=choose_labels(learned, tiles, label=label, labels=labels, seed=seed),
        dial=dial.read(),
        size=side,
        mpp=mpp,
        regions=areas,
        seed=seed,
    )
    print(drawn.path)
