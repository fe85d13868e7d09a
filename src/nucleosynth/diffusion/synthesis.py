"""From donors to a synthetic TileSet: class, mask and stain of a training tile, pixels of the generator.

Masks may be invented instead.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from nucleosynth import progress
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.diffusion.config import SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import dihedral
from nucleosynth.diffusion.recipes import usable_rows
from nucleosynth.diffusion.sampling.guidance import AUTO, active_terms
from nucleosynth.diffusion.sampling.plan import settle
from nucleosynth.errors import InputError
from nucleosynth.files import write_array, write_text
from nucleosynth.layouts.protocol import Layouts, Masks
from nucleosynth.seeds import rng


def synthesise(
    generator: Generator,
    donors: TileSet,
    out: Path | str,
    *,
    config: SynthesisConfig | None = None,
    layouts: Layouts | None = None,
    early: str | Path | None = None,
    seed: int = 0,
) -> TileSet:
    """Make a TileSet of synthetic tiles.

    Each tile takes its class, its mask (flipped or turned) and its stain from one donor. Donors are the tiles
    of the patients that the generator was trained on, and of no other. A run that was broken off goes on.

    Parameters
    ----------
    donors
        Real tiles; those of other patients than the generator's are never used.
    config
        Pool size, label rule, sampler, steps and guidance.
    layouts
        Invented masks of the donor's class in place of the donor's own.
    early
        Earlier model of the same training, for the guidance term ``auto``; None: beside the generator.

    Raises
    ------
    InputError
        Donors of another size, or none of a patient that the generator saw; layouts of other classes, that
        saw other patients, or for a generator without masks.
    """
    config = (config or SynthesisConfig()).settled(generator.card.recipe, generator.card.student)
    out = Path(out)
    refuse_impossible(generator.card, config)
    if layouts is not None and config.variation is not None:
        raise InputError("synthesis.variation: a variation keeps its donor's nuclei; leave the layouts out")
    bad = generator.early_model(early) if AUTO in active_terms(config.weights) else None
    rows = usable_rows(donors, donors.rows_of(generator.card.patients), generator.card.recipe)
    if not len(rows):
        raise InputError(
            f"{donors.path}: no tile, usable by the recipe {generator.card.recipe}, of a patient that the "
            "generator was trained on; donors must be those"
        )
    if donors.size != (generator.card.size, generator.card.size):
        raise InputError(
            f"{donors.path}: tiles are {donors.size[0]} px, the generator makes {generator.card.size} px"
        )
    chosen = choose_donors(
        donors.labels[rows], config.tiles, labels=config.labels, classes=len(donors.classes), seed=seed
    )
    identity = {
        "generator": generator.generator_id,
        "donors": donors.content_hash,
        "seed": seed,
        **config.model_dump(mode="json"),
    }
    if bad is not None:
        identity["early"] = bad.generator_id
    masks = _donor_masks(generator, donors, rows[chosen], seed)
    if layouts is not None:
        identity["layouts"] = layouts.identity()
        masks = _invented_masks(generator, donors, layouts, donors.labels[rows[chosen]], seed)
    parts = out.with_name(f".{out.name}.parts")
    _start_parts(parts, identity)
    tiles = _tiles(generator, donors, rows, chosen, config, masks_of=masks, early=bad, seed=seed, parts=parts)
    result = write_tileset(
        out,
        tiles,
        classes=donors.classes,
        ordinal=donors.ordinal,
        licence=donors.info["licence"],
        provenance={
            "stage": "synthesise",
            **identity,
            "patients": generator.card.trained_on_among(donors.patients.tolist()),
        },
    )
    shutil.rmtree(parts, ignore_errors=True)
    return result


def draw_like(
    generator: Generator,
    tiles: TileSet,
    rows: npt.NDArray[np.int64],
    config: SynthesisConfig,
    *,
    stain: npt.NDArray[np.float32],
    seed: int,
    first: int,
    vary: bool = False,
) -> npt.NDArray[np.uint8]:
    """Draw one tile for each row, of its class and mask; for scores, as rows may be of held-out patients.

    A generator of other classes, or of none, is told of none.

    Parameters
    ----------
    stain
        (len(rows), 6), the stain of each.
    first
        Added to the row for the index of a tile, to keep its noise apart from others'.
    vary
        Vary the tiles of the rows where ``config.variation`` says so; scores are of tiles from noise alone.

    Returns
    -------
    (len(rows), h, w, 3) uint8.
    """
    masks = np.asarray(tiles.masks[rows]) if generator.card.masks and tiles.masks is not None else None
    return generator.sample(
        tiles.labels[rows].tolist() if generator.card.classes == tiles.classes else None,
        masks,
        stain=stain,
        **config.sampling,
        origins=np.asarray(tiles.images[rows]) if vary and config.variation is not None else None,
        variation=config.variation if vary else None,
        seed=seed,
        indices=[first + int(row) for row in rows],
    )


def refuse_impossible(card: ModelCard, config: SynthesisConfig) -> None:
    """Refuse before anything is written, or trained, what a generator of this card cannot do."""
    settle(card, **config.sampling, variation=config.variation)


def choose_donors(
    donor_labels: npt.NDArray[np.int64],
    count: int,
    *,
    labels: Literal["as-train", "balanced"],
    classes: int,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Return the donor (position in ``donor_labels``) of each synthetic tile.

    ``as-train`` takes every donor in turn, in an order of its own each time round; ``balanced`` does so
    within each class, the classes alternating. The donor of tile ``i`` does not depend on how many are made.
    """
    if labels == "balanced" and not classes:
        raise InputError("synthesis.labels: balanced needs classes; use as-train for tiles without labels")
    groups = [np.flatnonzero(donor_labels == c) for c in range(classes)] if labels == "balanced" else []
    groups = groups or [np.arange(len(donor_labels))]
    empty = [index for index, group in enumerate(groups) if not len(group)]
    if empty:
        raise InputError(f"synthesis.labels: balanced, but class {empty[0]} has no donor; use as-train")
    chosen = np.empty(count, np.int64)
    for index, group in enumerate(groups):
        places = np.arange(index, count, len(groups))
        rounds = [
            rng(seed, f"donors-{index}", turn).permutation(group)
            for turn in range(-(-len(places) // len(group)))
        ]
        chosen[places] = np.concatenate([*rounds, group[:0]])[: len(places)]
    return chosen


def _start_parts(parts: Path, identity: dict[str, Any]) -> None:
    """Keep finished batches of the same request; throw away those of another."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    stored = parts / "request"
    if parts.exists() and not (stored.is_file() and stored.read_text(encoding="utf-8") == key):
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    if not stored.exists():
        write_text(stored, key)


def _tiles(
    generator: Generator,
    donors: TileSet,
    rows: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    config: SynthesisConfig,
    *,
    masks_of: Callable[[range], Masks | None],
    early: Generator | None,
    seed: int,
    parts: Path,
) -> Iterator[Tile]:
    """Sample batch by batch, keeping each finished batch on disk until the whole is written."""
    descriptors = slide_descriptors(donors, rows)
    names = donors.column("tile_id")
    identity = generator.generator_id
    with progress.task("synthesise", len(chosen)) as update:
        for start in range(0, len(chosen), config.batch):
            picked = chosen[start : start + config.batch]
            indices = range(start, start + len(picked))
            masks = masks_of(indices)
            labels = donors.labels[rows[picked]]
            kept = parts / f"{start:08d}.npy"
            if not kept.exists():
                made = generator.sample(
                    labels.tolist(),
                    masks,
                    stain=descriptors[picked],
                    **config.sampling,
                    early=early,
                    origins=_origins(donors, rows[picked], config, seed, indices),
                    variation=config.variation,
                    seed=seed,
                    indices=indices,
                    batch=config.batch,
                )
                write_array(kept, made)
            images = np.load(kept)
            for place, index in enumerate(indices):
                row = rows[picked[place]]
                yield Tile(
                    tile_id=f"synthetic:{identity}-{seed}-{index:07d}",
                    image=images[place],
                    mask=None if masks is None else masks[place],
                    patient_id=None,
                    patient_known=False,
                    label=None if labels[place] < 0 else int(labels[place]),
                    mpp=generator.card.mpp,
                    synthetic=True,
                    generator_id=identity,
                    sample_index=index,
                    seed=seed,
                    sampler=config.sampler,
                    steps=config.steps,
                    guidance=json.dumps(config.weights, sort_keys=True),
                    donor_tile_id=names[row],
                    donor_patient_id=str(donors.patients[row]),
                )
            update(start + len(picked), "")


def _donor_masks(
    generator: Generator, donors: TileSet, rows: npt.NDArray[np.int64], seed: int
) -> Callable[[range], Masks | None]:
    """Return the donors' masks, each flipped or turned as its sample index says."""

    def masks_of(indices: range) -> Masks | None:
        if not generator.card.masks or donors.masks is None:
            return None
        masks = torch.from_numpy(np.asarray(donors.masks[rows[indices]]).astype(np.int32))
        return dihedral(masks, _turns(seed, indices)).numpy().astype(np.uint16)

    return masks_of


def _turns(seed: int, indices: range) -> torch.Tensor:
    """How each donor is flipped or turned, as its sample index says."""
    return torch.tensor([int(rng(seed, "turn", index).integers(8)) for index in indices])


def _origins(
    donors: TileSet, rows: npt.NDArray[np.int64], config: SynthesisConfig, seed: int, indices: range
) -> npt.NDArray[np.uint8] | None:
    """Return the donors' pixels to be varied, turned as their masks are."""
    if config.variation is None:
        return None
    pixels = torch.from_numpy(np.asarray(donors.images[rows])).permute(0, 3, 1, 2)
    turned: npt.NDArray[np.uint8] = dihedral(pixels, _turns(seed, indices)).permute(0, 2, 3, 1).numpy()
    return turned


def _invented_masks(
    generator: Generator, donors: TileSet, layouts: Layouts, labels: npt.NDArray[np.int64], seed: int
) -> Callable[[range], Masks | None]:
    """Return layouts of the donors' classes; refuses those that cannot or must not be used."""
    card = generator.card
    if not card.masks:
        raise InputError("layouts: this generator was trained without masks; leave the layouts out")
    if card.mpp is None:
        raise InputError(
            "layouts: the generator's µm/px is unknown; nuclei are sized in µm, train it with `mpp`"
        )
    if layouts.classes != donors.classes:
        raise InputError(
            f"layouts: classes {layouts.classes} are not those of the donors, {donors.classes}; fit to these"
        )
    require_no_leakage("layouts", layouts.patients, card.patients)
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        ranks[labels == label] = np.arange(np.count_nonzero(labels == label))
    mpp = card.mpp

    def masks_of(indices: range) -> Masks:
        part = slice(indices.start, indices.stop)
        return layouts.masks(
            labels[part].tolist(),
            indices=indices,
            ranks=ranks[part].tolist(),
            size=card.size,
            mpp=mpp,
            seed=seed,
        )

    return masks_of
