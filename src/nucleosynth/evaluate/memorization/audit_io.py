"""Input and output of the copies audit: tiles from TileSets and a generator, and the files of its result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.memorization.audit import Memorization, Pair, Real
from nucleosynth.evaluate.memorization.structure_search import turned
from nucleosynth.files import write_json
from nucleosynth.seeds import some_rows

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.generator import Generator

FIRST_INDEX = 30_000_000  # of the noise of control tiles, far from that of a pool


def divide(tilesets: Sequence[TileSet], trained_on: Collection[str]) -> tuple[Real, Real]:
    """Divide tiles into those of the patients a generator was trained on, and all others.

    Raises
    ------
    InputError
        There is no training patient of the generator, no other patient, or tiles have different sizes.
    """
    sizes = {tiles.size for tiles in tilesets}
    if len(sizes) > 1:
        raise InputError(
            f"memorization: tiles of {' and '.join(map(str, sorted(sizes)))} px; expected one size"
        )
    images = np.concatenate([np.asarray(tiles.images) for tiles in tilesets])
    patients = np.concatenate([tiles.patients for tiles in tilesets])
    known = np.isin(patients, sorted(trained_on))
    for rows, which in ((known, "that the generator was trained on"), (~known, "that it was not trained on")):
        if not rows.any():
            raise InputError(f"{tilesets[0].path}: no tile of a patient {which}; give TileSets with some")
    return Real(images[known], patients[known]), Real(images[~known], patients[~known])


def control_tiles(
    generator: Generator, real: TileSet, synthetic: TileSet, *, limit: int, seed: int
) -> NDArray[np.uint8] | None:
    """Draw tiles for the classes, masks and stains of patients that a generator was not trained on.

    They are sampled as ``synthetic`` was. None if its masks were invented, if it holds variations, which are
    near their donors without any memorisation, or if ``real`` has no tile for it.
    """
    from nucleosynth.data.slide_stain import slide_descriptors
    from nucleosynth.diffusion.config import SynthesisConfig
    from nucleosynth.diffusion.sampling.plan import resolve_sampling
    from nucleosynth.diffusion.synthesis import draw_like

    how = synthetic.info["provenance"]
    held_out = np.flatnonzero(~np.isin(real.patients, generator.card.trained_on))
    usable = generator.card.recipe.usable_rows(real, held_out)
    if "layouts" in how or how.get("variation") is not None or not len(usable):
        return None
    rows = some_rows(seed, "memorization-control", usable, limit)
    config = SynthesisConfig.model_validate(
        {key: how[key] for key in SynthesisConfig.model_fields if key in how}
    )
    plan = resolve_sampling(generator.card, **config.sampling)
    stain = slide_descriptors(real, rows)
    return draw_like(generator, real, rows, plan, stain=stain, seed=seed, first=FIRST_INDEX)


def write_memorization(
    found: Memorization, train: Real, synthetic: NDArray[np.uint8], out: Path, *, columns: int = 12
) -> list[Path]:
    """Write ``memorization.json`` and ``pairs.png``: synthetic tiles, each above its nearest training tile.

    Synthetic tiles are turned and mirrored as they match.
    """
    from nucleosynth.render.grid import grid, save_png

    stored, picture = out / "memorization.json", out / "pairs.png"
    write_json(stored, {**found.scores, "pairs": [asdict(pair) for pair in found.pairs]})
    pictures, tiles = pair_tiles(found.pairs, synthetic, train.images), []
    for start in range(0, len(found.pairs), columns):
        for images in pictures:
            row = images[start : start + columns]
            tiles += [*row, *[np.full_like(row[0], 255)] * (columns - len(row))]
    save_png(picture, grid(np.stack(tiles), columns=columns, scale=2))
    return [stored, picture]


def pair_tiles(
    pairs: Sequence[Pair], synthetic: NDArray[np.uint8], train: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the synthetic tiles of pairs, turned to match, and their training tiles."""
    made = [turned(synthetic[[pair.synthetic]], pair.turn) for pair in pairs]
    return np.concatenate(made), np.asarray(train[[pair.train for pair in pairs]])
