"""Layouts by the diffusion core: masks as pictures of distances, on which the generator is trained.

Nothing of the core is changed: `encode` makes pictures, `train_generator` learns them, `decode` cuts nuclei
out of those that it samples. All channels turn and mirror with the mask, as the generator's batches do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.diffusion.config import FROM_SCRATCH, GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError
from nucleosynth.segmentation.learned.targets import depth_maps
from nucleosynth.segmentation.learned.watershed import Cut, cut_nuclei

EDGE_UM = 1.5
"""Half the width of the ramp across a nucleus' edge."""

GAP_UM = 8.0
"""Distances to nuclei are clipped at this value."""

CUT = Cut(core=0.4, least_seed=0.25, least_area=1.0)
"""Chosen by the round trip of training masks; the segmenters' own setting drops nuclei cut by the border."""


def encode(masks: NDArray[np.integer], mpp: float) -> NDArray[np.uint8]:
    """Draw distance maps.

    Parameters
    ----------
    masks : (n, h, w) integer
        Instances, 0 = background; they may touch.
    mpp : float
        µm/px.

    Returns
    -------
    (n, h, w, 3) uint8
        *Nucleus*, over 127 inside, a ramp of the signed distance to the edge; *core*, the depth inside each
        nucleus over its largest, which parts nuclei that touch; *gap*, the distance to the nearest nucleus.
    """
    return np.stack([_encode(mask, mpp) for mask in masks])


def _encode(mask: NDArray[np.integer], mpp: float) -> NDArray[np.uint8]:
    inside = mask > 0
    outwards = distance_transform_edt(~inside) if inside.any() else np.full(mask.shape, np.inf)
    inwards = distance_transform_edt(inside) if not inside.all() else np.full(mask.shape, np.inf)
    signed = np.where(inside, inwards - 0.5, 0.5 - outwards) * mpp  # the edge runs between two pixels
    nucleus = 0.5 + 0.5 * np.clip(signed / EDGE_UM, -1, 1)
    gap = np.clip(outwards * mpp / GAP_UM, 0, 1)
    planes = np.stack([nucleus, depth_maps(mask)[0], gap], axis=-1)
    return np.asarray(np.rint(255 * planes), dtype=np.uint8)


def decode(maps: NDArray[np.uint8], mpp: float) -> NDArray[np.uint16]:
    """Cut nuclei out of distance maps (n, h, w, 3); returns (n, h, w) uint16: 1, 2, ... without a gap."""
    channels = np.ascontiguousarray(np.moveaxis(maps[..., :2], -1, 1))
    return np.stack([cut_nuclei(picture, mpp, cut=CUT) for picture in channels]).astype(np.uint16)


def write_maps(tiles: TileSet, patients: Sequence[str], out: Path) -> TileSet:
    """Write the distance maps of some patients' masks as a TileSet without masks, or open those there.

    All rows name one slide: the stain descriptor, which would reveal the density of a picture, becomes the
    same for all and carries no information.

    Raises
    ------
    InputError
        The maps in ``out`` are of other masks.
    """
    made_from = {
        "tileset": tiles.content_hash,
        "patients": sorted(set(patients)),
        "edge_um": EDGE_UM,
        "gap_um": GAP_UM,
    }
    if out.exists():
        stored = TileSet.open(out)
        if stored.info["provenance"] != made_from:
            raise InputError(f"{out}: maps of other masks; choose another run directory")
        return stored
    assert tiles.masks is not None
    assert tiles.mpp is not None
    rows = tiles.rows_of(patients)
    rows = rows[tiles.has_mask[rows]]
    maps = encode(tiles.masks[rows], tiles.mpp)
    pictures = (
        replace(tile, image=picture, mask=None, slide_id="maps:all")
        for tile, picture in zip(tiles.tiles(rows), maps, strict=True)
    )
    return write_tileset(out, pictures, classes=tiles.classes, ordinal=tiles.ordinal, provenance=made_from)


def map_config(
    *, minutes: float | None = None, steps: int | None = None, **changes: object
) -> GeneratorConfig:
    """Return the generator's defaults, except for stain and masks; ``steps`` replace ``minutes``."""
    budget = {"minutes": minutes} if steps is None else {"steps": steps}
    return GeneratorConfig.model_validate(
        {"start": FROM_SCRATCH, "masks": "none", "jitter": 0, "drop": 0, "hold_out": 0, **budget, **changes}
    )


class MapLayouts:
    """A generator of distance maps that draws layouts, as `LayoutModel` does."""

    def __init__(self, generator: Generator, maps: TileSet) -> None:
        assert maps.mpp is not None
        self.generator, self.mpp = generator, maps.mpp
        self.stain = slide_descriptors(maps, np.arange(len(maps)))[0]

    @classmethod
    def fit(
        cls, maps: TileSet, config: GeneratorConfig, *, out: Path, seed: int = 0, device: str = "cpu"
    ) -> MapLayouts:
        """Train in the run directory ``out``, or continue there."""
        patients = sorted(set(maps.patients.tolist()))
        path = train_generator(maps, patients, config, out=out, seed=seed, device=device)
        return cls(Generator.from_pretrained(path, device=device), maps)

    def draw(
        self, labels: Sequence[int], seed: int = 0, *, steps: int = 10, sigma_scale: float = 1.0
    ) -> NDArray[np.uint16]:
        """Draw (n, h, w) layouts, one per class index in ``labels``; -1 = any class."""
        maps = self.generator.sample(
            list(labels), stain=self.stain, steps=steps, sigma_scale=sigma_scale, seed=seed
        )
        return decode(maps, self.mpp)
