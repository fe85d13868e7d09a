"""``nucleosynth evaluate``: compare synthetic tiles with real ones and with their requested masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from nucleosynth.cli.settings import Seed
from nucleosynth.errors import InputError

app = App(name="evaluate", help="Score synthetic tiles against real ones.", help_format="plaintext")


@app.command
def fidelity(
    real: Path,
    synthetic: Path,
    /,
    *,
    extractor: Annotated[
        str, Parameter(help="Network for the features: lite0, inception, dinov2, clip, timm:MODEL ...")
    ] = "lite0",
    by_class: Annotated[bool, Parameter(negative="", help="Score each class alone too.")] = False,
    seed: Seed = 0,
) -> None:
    """Print KID, CMMD, FID and coverage of synthetic tiles, with real-vs-real references.

    Real tiles are those of the donors; all other patients give the real-vs-real reference between patients.

    For example::

        nucleosynth evaluate fidelity runs/tiles runs/synthetic --by-class
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.evaluate.fidelity.by_class import fidelity_by_class
    from nucleosynth.evaluate.fidelity.score import fidelity as whole
    from nucleosynth.evaluate.fidelity.tile_groups import seen_and_unseen

    made = TileSet.open(synthetic)
    donors, others = seen_and_unseen(TileSet.open(real), made)
    score = fidelity_by_class if by_class else whole
    scores = score(donors, made, held_out=others, extractor=extractor, seed=seed)
    print(json.dumps(scores, indent=2, ensure_ascii=False))


@app.command
def masks(
    real: Path,
    synthetic: Path,
    /,
    *,
    judge: Annotated[str, Parameter(help="Mask judge: segmenter that finds the nuclei.")] = "judge",
) -> None:
    """Print how well the nuclei found in synthetic tiles agree with the requested masks.

    The result has its chance level (masks paired at random) and its ceiling (the same segmenter on real
    tiles).

    For example::

        nucleosynth evaluate masks runs/tiles runs/synthetic
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.evaluate.nuclei.mask_scores import mask_scores

    print(json.dumps(mask_scores(TileSet.open(real), TileSet.open(synthetic), judge=judge), indent=2))


@app.command
def memorization(
    real: Path,
    synthetic: Path,
    /,
    *,
    generator: Annotated[
        Path | None, Parameter(help="Generator of the tiles; draws the control tiles, else there are none.")
    ] = None,
    also: Annotated[
        tuple[Path, ...], Parameter(help="More TileSets that generator or initial weights were trained on.")
    ] = (),
    out: Annotated[Path | None, Parameter(help="Folder for the scores and the nearest pairs.")] = None,
    extractor: Annotated[str, Parameter(help="Network whose features are compared.")] = "lite0",
    limit: Annotated[int, Parameter(help="Largest number of synthetic and of held-out tiles.")] = 500,
    seed: Seed = 0,
) -> None:
    r"""Count synthetic tiles that are copies of training tiles, compared with real held-out tiles.

    Turned, mirrored, shifted, blurred and restained copies count too.

    For example::

        nucleosynth evaluate memorization runs/tiles runs/synthetic \
            --generator runs/generator --out runs/memorization
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.evaluate.memorization.audit import memorization as audit
    from nucleosynth.evaluate.memorization.audit_io import control_tiles, divide, write_memorization

    made = TileSet.open(synthetic)
    trained_on = {*made.patients.tolist(), *made.info["provenance"].get("patients", ())}
    tiles, model, control = TileSet.open(real), None, None
    if generator is not None:
        from nucleosynth.diffusion.generator import Generator

        model = Generator.from_pretrained(generator)
        trained_on = set(model.card.trained_on)
    train, held_out = divide([tiles, *map(TileSet.open, also)], trained_on)
    if model is not None:
        control = control_tiles(model, tiles, made, limit=limit, seed=seed)
    found = audit(train, made.images, held_out, control=control, extractor=extractor, limit=limit, seed=seed)
    if out is not None:
        write_memorization(found, train, made.images, out)
    print(json.dumps(found.scores, indent=2))


@app.command
def morphology(
    real: Path,
    synthetic: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder for the scores and a plot per class.")] = None,
    found_by: Annotated[
        str | None, Parameter(help="Segmenter that finds the nuclei; else the masks of the tiles are used.")
    ] = None,
    benign_class: Annotated[
        str | None, Parameter(help="Class of benign tissue; the lowest if ordered.")
    ] = None,
    benign_um: Annotated[float | None, Parameter(help="Diameter of benign nuclei, µm.")] = None,
) -> None:
    """Compare real and synthetic nuclei in size, shape, staining and spacing, per class.

    Each distance is printed with the one between real patients.

    For example::

        nucleosynth evaluate morphology runs/tiles runs/synthetic --out runs/morphology
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.evaluate.nuclei.morphology import compare_morphology, write_comparison

    if benign_class is not None and benign_um is not None:
        raise InputError("--benign-class and --benign-um: give only one of them")
    benign = benign_class if benign_um is None else benign_um
    found = compare_morphology(TileSet.open(real), TileSet.open(synthetic), found_by=found_by, benign=benign)
    if out is not None:
        write_comparison(found, out)
    print(json.dumps(found.scores, indent=2, ensure_ascii=False))


@app.command
def layouts(tiles: Path, model: Path, /, *, seed: Seed = 0) -> None:
    """Print the distance of drawn layouts to the training masks of their model, per class.

    Each distance is printed with the one between real patients.

    For example::

        nucleosynth evaluate layouts runs/tiles runs/layouts.json
    """
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.evaluate.nuclei.layouts import compare_layouts
    from nucleosynth.layouts.model import LayoutModel

    scores = compare_layouts(TileSet.open(tiles), LayoutModel.load(model), seed=seed)
    print(json.dumps(scores, indent=2, ensure_ascii=False))
