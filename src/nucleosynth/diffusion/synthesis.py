"""Synthetic TileSets from donors: class, mask and stain of a training tile, pixels of the generator.

Masks may come from a layout model instead.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from nucleosynth import progress
from nucleosynth.arguments import as_instance, as_int, as_path
from nucleosynth.config import parse
from nucleosynth.data.inputs import as_tileset
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.diffusion.config import SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.conditioning import dihedral
from nucleosynth.diffusion.sampling.plan import SamplingPlan, resolve_sampling
from nucleosynth.errors import InputError
from nucleosynth.files import write_array, write_text
from nucleosynth.layouts.protocol import Layouts, Masks
from nucleosynth.seeds import rng


def synthesise(
    generator: Generator,
    donors: TileSet | Path | str,
    out: Path | str,
    *,
    config: SynthesisConfig | Mapping[str, Any] | None = None,
    layouts: Layouts | None = None,
    early: str | Path | None = None,
    seed: int = 0,
) -> TileSet:
    """Draw a TileSet of synthetic tiles.

    Each tile has the class, the mask (flipped or turned) and the stain of one donor. Donors are only tiles of
    the patients that the generator was trained on. An interrupted run continues.

    Parameters
    ----------
    donors
        Real tiles; only those of the generator's training patients are used.
    config
        Pool size, label rule, sampler, steps and guidance.
    layouts
        Layout model that invents masks of the donor's class in place of the donor's own.
    early
        Earlier model of the same training, for the guidance term ``auto``; None: next to the generator.

    Raises
    ------
    InputError
        Donors have another size, or none is of a training patient of the generator; layouts have other
        classes or training patients, or the generator uses no masks.
    """
    generator = as_instance(generator, Generator, "generator", how="open one with Generator.from_pretrained")
    donors, out = as_tileset(donors, "donors"), as_path(out, "out")
    seed = as_int(seed, "seed", least=-(2**63), most=2**63 - 1)
    config = _as_config(config)
    if layouts is not None:
        layouts = as_instance(layouts, Layouts, "layouts", how="open them with layouts.provider.open_layouts")  # type: ignore[type-abstract]
    plan = resolve_sampling(generator.card, **config.sampling, variation=config.variation)
    if layouts is not None and config.variation is not None:
        raise InputError("synthesis.variation: a variation keeps its donor's nuclei; leave the layouts out")
    bad = generator.early_for(plan, early)
    rows = _donor_rows(generator, donors)
    chosen = choose_donors(
        donors.labels[rows], config.tiles, labels=config.labels, classes=len(donors.classes), seed=seed
    )
    identity = {
        "generator": generator.generator_id,
        "donors": donors.content_hash,
        "seed": seed,
        **config.model_dump(mode="json"),
        **plan.stated,
    }
    if bad is not None:
        identity["early"] = bad.generator_id
    masks = _donor_masks(generator, donors, rows[chosen], seed)
    if layouts is not None:
        identity["layouts"] = layouts.identity()
        masks = _invented_masks(generator, donors, layouts, donors.labels[rows[chosen]], seed)
    parts = out.with_name(f".{out.name}.parts")
    _start_parts(parts, identity)
    pool = _Pool(generator, donors, rows[chosen], plan, config.batch, masks_of=masks, early=bad, seed=seed)
    result = write_tileset(
        out,
        pool.tiles(parts),
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


def _as_config(config: object) -> SynthesisConfig:
    """Return the settings of a pool, given as such, as a mapping, or left out."""
    if config is None:
        return SynthesisConfig()
    if isinstance(config, Mapping):
        return parse(SynthesisConfig, config, source="synthesise")
    return as_instance(config, SynthesisConfig, "config", how="give SynthesisConfig(...) or a mapping")


def draw_like(
    generator: Generator,
    tiles: TileSet,
    rows: npt.NDArray[np.int64],
    plan: SamplingPlan,
    *,
    stain: npt.NDArray[np.float32],
    seed: int,
    first: int,
) -> npt.NDArray[np.uint8]:
    """Draw one tile for the class and mask of each row; only for scores, as rows may be of held-out patients.

    A generator with other classes, or none, is not conditioned on the class.

    Parameters
    ----------
    plan
        With a ``variation``, the result are variations of the tiles of the rows.
    stain
        (len(rows), 6), the stain of each row.
    first
        Added to the row to give the index of a tile, so that its noise differs from that of other tiles.

    Returns
    -------
    (len(rows), h, w, 3) uint8.
    """
    card = generator.card
    return generator.draw(
        plan,
        tiles.labels[rows].tolist() if card.classes == tiles.classes else None,
        np.asarray(tiles.masks[rows]) if card.masks and tiles.masks is not None else None,
        stain=stain,
        origins=None if plan.variation is None else np.asarray(tiles.images[rows]),
        early=generator.early_model() if plan.needs_early else None,
        seed=seed,
        indices=[first + int(row) for row in rows],
    )


def _donor_rows(generator: Generator, donors: TileSet) -> npt.NDArray[np.int64]:
    """Return the rows that may be donors: usable tiles of the generator's own training patients."""
    card = generator.card
    rows = card.recipe.usable_rows(donors, donors.rows_of(card.patients))
    if not len(rows):
        raise InputError(
            f"{donors.path}: no tile, usable by the recipe {card.recipe}, of a patient that the generator "
            "was trained on; donors must be those"
        )
    if donors.size != (card.size, card.size):
        raise InputError(f"{donors.path}: tiles are {donors.size[0]} px, the generator makes {card.size} px")
    return rows


def choose_donors(
    donor_labels: npt.NDArray[np.int64],
    count: int,
    *,
    labels: Literal["as-train", "balanced"],
    classes: int,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Return the donor (position in ``donor_labels``) of each synthetic tile.

    ``as-train`` uses every donor in turn, in a new order each time; ``balanced`` does so within each class,
    and the classes alternate. The donor of tile ``i`` does not depend on the number of tiles.
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
    """Keep finished batches of the same request; delete those of another."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    stored = parts / "request"
    if parts.exists() and not (stored.is_file() and stored.read_text(encoding="utf-8") == key):
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    if not stored.exists():
        write_text(stored, key)


@dataclass(frozen=True)
class _Pool:
    """The donors of a pool: one for each synthetic tile, in order."""

    generator: Generator
    donors: TileSet
    rows: npt.NDArray[np.int64]
    plan: SamplingPlan
    batch: int
    masks_of: Callable[[range], Masks | None]
    early: Generator | None
    seed: int

    def tiles(self, parts: Path) -> Iterator[Tile]:
        """Draw batch by batch, keeping each finished batch in ``parts`` until the whole is written."""
        descriptors = self._stains()
        with progress.task("synthesise", len(self.rows)) as update:
            for start in range(0, len(self.rows), self.batch):
                indices = range(start, min(start + self.batch, len(self.rows)))
                masks, kept = self.masks_of(indices), parts / f"{start:08d}.npy"
                if not kept.exists():
                    write_array(kept, self._draw(indices, masks, descriptors))
                images = np.load(kept)
                for place, index in enumerate(indices):
                    yield self._tile(index, images[place], None if masks is None else masks[place])
                update(indices.stop, "")

    def _stains(self) -> npt.NDArray[np.float32]:
        """Return the stain of each tile: that of its donor's slide, measured on all possible donors."""
        every = _donor_rows(self.generator, self.donors)
        return slide_descriptors(self.donors, every)[np.searchsorted(every, self.rows)]

    def _draw(
        self, indices: range, masks: Masks | None, descriptors: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        rows = self.rows[indices.start : indices.stop]
        return self.generator.draw(
            self.plan,
            self.donors.labels[rows].tolist(),
            masks,
            stain=descriptors[indices.start : indices.stop],
            early=self.early,
            origins=None if self.plan.variation is None else _turned(self.donors, rows, self.seed, indices),
            seed=self.seed,
            indices=indices,
            batch=self.batch,
        )

    def _tile(self, index: int, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint16] | None) -> Tile:
        row, identity = self.rows[index], self._generator_id
        label = int(self.donors.labels[row])
        return Tile(
            tile_id=f"synthetic:{identity}-{self.seed}-{index:07d}",
            image=image,
            mask=mask,
            patient_id=None,
            patient_known=False,
            label=None if label < 0 else label,
            mpp=self.generator.card.mpp,
            synthetic=True,
            generator_id=identity,
            sample_index=index,
            seed=self.seed,
            sampler=self.plan.sampler.name,
            steps=self.plan.steps,
            guidance=json.dumps(dict(self.plan.guidance), sort_keys=True),
            donor_tile_id=self._names[row],
            donor_patient_id=str(self.donors.patients[row]),
        )

    @cached_property
    def _generator_id(self) -> str:
        return self.generator.generator_id

    @cached_property
    def _names(self) -> list[str]:
        return self.donors.column("tile_id")


def _donor_masks(
    generator: Generator, donors: TileSet, rows: npt.NDArray[np.int64], seed: int
) -> Callable[[range], Masks | None]:
    """Return the donors' masks, each flipped or turned by its sample index."""

    def masks_of(indices: range) -> Masks | None:
        if not generator.card.masks or donors.masks is None:
            return None
        masks = torch.from_numpy(np.asarray(donors.masks[rows[indices]]).astype(np.int32))
        return dihedral(masks, _turns(seed, indices)).numpy().astype(np.uint16)

    return masks_of


def _turns(seed: int, indices: range) -> torch.Tensor:
    """Return the flip or turn of each donor, a function of its sample index."""
    return torch.tensor([int(rng(seed, "turn", index).integers(8)) for index in indices])


def _turned(donors: TileSet, rows: npt.NDArray[np.int64], seed: int, indices: range) -> npt.NDArray[np.uint8]:
    """Return the donors' pixels to be varied, turned as their masks are."""
    pixels = torch.from_numpy(np.asarray(donors.images[rows])).permute(0, 3, 1, 2)
    turned: npt.NDArray[np.uint8] = dihedral(pixels, _turns(seed, indices)).permute(0, 2, 3, 1).numpy()
    return turned


def _invented_masks(
    generator: Generator, donors: TileSet, layouts: Layouts, labels: npt.NDArray[np.int64], seed: int
) -> Callable[[range], Masks | None]:
    """Return layouts of the donors' classes; refuse layouts that cannot or must not be used."""
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
