"""``nucleosynth train`` and ``nucleosynth sample``: train a generator or a segmenter, draw tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from nucleosynth.cli.settings import (
    Device,
    DialOptions,
    Out,
    Root,
    SamplingOptions,
    Seed,
    Settings,
    StudyFile,
    load_section,
    open_split,
)
from nucleosynth.errors import InputError

app = App(name="train", help_format="plaintext")


@app.default
def train(
    tiles: Path,
    /,
    *,
    split: Path,
    out: Out,
    fold: int = 0,
    start: str | None = None,
    study: StudyFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Train a diffusion generator on the training patients of one fold; run again to continue.

    For example::

        nucleosynth train runs/tiles --split runs/split.json \
            --generator.minutes 30 --out runs/generator

    Parameters
    ----------
    tiles
        TileSet, with masks and labels if they exist.
    split
        Split file; only the training patients of the fold are read.
    fold
        Fold of the split file, counted from 0.
    start
        Initial weights: a trained generator, prior or none; the setting generator.start.
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.config import GeneratorConfig
    from nucleosynth.diffusion.training.generator import train_generator

    if start is not None:
        settings = [*(settings or []), f"generator.start={start}"]
    config = load_section(GeneratorConfig, "generator", study=study, settings=settings)
    patients = open_split(split, fold).folds[fold].train
    print(train_generator(TileSet.open(tiles), patients, config, out=out, seed=seed, device=device))


@app.command(name="segmenter")
def train_segmenter(
    study: Path,
    /,
    *,
    out: Out,
    root: Root = None,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Train a network that finds nuclei on annotated images; run again to continue.

    For example::

        nucleosynth train segmenter studies/segmenter-embedded.yaml \
            --data.root DIR --out runs/embedded

    Parameters
    ----------
    study
        File with a section `segmenter`: recipe, annotated images, augmentation and budget.
    """
    from nucleosynth.segmentation.learned.config import SegmenterTraining
    from nucleosynth.segmentation.learned.train import train_segmenter as fit

    config = load_section(SegmenterTraining, "segmenter", study=study, settings=settings)
    print(fit(config, root=root or Path(), out=out, seed=seed, device=device))


@app.command(name="prior")
def train_prior(
    study: Path,
    /,
    *,
    out: Out,
    root: Root = None,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Train a generator on tissue of many sources, for use as initial weights; run again to continue.

    For example::

        nucleosynth train prior studies/tissue-prior.yaml \
            --data.root DIR --out runs/prior

    Parameters
    ----------
    study
        File with sources, tiles and a section `generator`.
    """
    from nucleosynth.config import load_config
    from nucleosynth.diffusion.training.prior import PriorConfig
    from nucleosynth.diffusion.training.prior import train_prior as fit

    config = load_config(PriorConfig, study, settings or ())
    print(fit(config, root=root or Path(), out=out, device=device))


def distill(
    teacher: Path,
    tiles: Path,
    /,
    *,
    out: Out,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Tune a student that draws a tile in two steps from a trained generator; run again to continue.

    For example::

        nucleosynth distill runs/generator runs/tiles \
            --distill.minutes 10 --out runs/student

    Parameters
    ----------
    teacher
        Folder that `nucleosynth train` wrote.
    tiles
        TileSet that the teacher was trained on; only tiles of its training patients are read.
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.config import DistillConfig
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.training.distill import distill as tune

    config = load_section(DistillConfig, "distill", study=None, settings=settings)
    generator = Generator.from_pretrained(teacher, device=device)
    print(tune(generator, TileSet.open(tiles), config, out=out, seed=seed, device=device))


def preview(
    generator: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="The picture to write, a PNG.")] = Path("tissue.png"),
    columns: Annotated[int, Parameter(help="Number of nuclei layouts, one per column.")] = 8,
    stains: Annotated[int, Parameter(help="Number of stains, one per row, if there are no classes.")] = 4,
    steps: Annotated[int | None, Parameter(help="Steps of the sampler; else its own.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Preview a generator without data: drawn nuclei above, tiles in several stains or classes below.

    For example::

        nucleosynth preview runs/generator --out tissue.png

    Parameters
    ----------
    generator
        Folder that `nucleosynth train` or `nucleosynth distill` wrote, or nucleosynth/tissue-prior.
    """
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.preview import STAINS
    from nucleosynth.diffusion.preview import preview as draw
    from nucleosynth.render.grid import save_png

    if columns < 1 or not 1 <= stains <= len(STAINS):
        raise InputError(f"preview: columns must be at least 1, stains 1 to {len(STAINS)}")
    model = Generator.from_pretrained(generator, device=device)
    save_png(out, draw(model, columns=columns, stains=stains, seed=seed, steps=steps))
    print(out)


def sample(
    generator: Path,
    /,
    *,
    donors: Path,
    out: Out,
    tiles: int = 64,
    labels: Literal["as-train", "balanced"] = "as-train",
    sampling: SamplingOptions = SamplingOptions(),  # noqa: B008 - frozen
    early: Path | None = None,
    layouts: Path | None = None,
    dial: DialOptions = DialOptions(),  # noqa: B008 - frozen
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    r"""Draw a synthetic TileSet: each tile has class, nuclei mask and stain of one donor tile.

    With layouts the masks are invented; class and stain are those of the donor.

    For example::

        nucleosynth sample runs/generator --donors runs/tiles \
            --tiles 4000 --labels balanced --out runs/synthetic

        nucleosynth sample runs/generator --donors runs/tiles \
            --layouts runs/layouts.json --dial.size-ratio 1.5 --out runs/larger

    Parameters
    ----------
    generator
        Folder that `nucleosynth train` or `nucleosynth distill` wrote.
    donors
        TileSet that the generator was trained on.
    tiles
        Number of tiles to draw.
    labels
        Class frequencies of the pool: those of the donors, or all classes equal.
    early
        Earlier model of the same training, for --guidance.auto; default: that in the generator's folder.
    layouts
        Model that `nucleosynth layouts fit` wrote, or folder that `nucleosynth layouts draw` wrote.
    """
    from nucleosynth.config import parse
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.config import SynthesisConfig
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.synthesis import synthesise
    from nucleosynth.layouts.atypia import Dial
    from nucleosynth.layouts.provider import open_layouts

    turned = dial.read()
    if layouts is None and turned != Dial():
        raise InputError("--dial: changes invented layouts only; give them with --layouts")
    request = {"tiles": tiles, "labels": labels, **sampling.request}
    config = parse(SynthesisConfig, request, source="sample")
    made = synthesise(
        Generator.from_pretrained(generator, device=device),
        TileSet.open(donors),
        out,
        config=config,
        layouts=None if layouts is None else open_layouts(layouts, turned),
        early=early,
        seed=seed,
    )
    print(made.path)
