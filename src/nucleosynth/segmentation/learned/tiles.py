"""Training of the segmenters on tiles in memory: those of TileSets, real or synthetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.arrays import checked_images, checked_masks, checked_mpp
from nucleosynth.errors import InputError
from nucleosynth.segmentation.learned.annotated import Picture, annotated_picture
from nucleosynth.segmentation.learned.config import NETWORK_MPP, NetworkTraining
from nucleosynth.segmentation.learned.train import train_network, training_card
from nucleosynth.segmentation.scale import check_scale

LEAST_CROP, CROP_GRAIN = 32, 8


@dataclass(frozen=True, kw_only=True)
class TrainingTiles:
    """Annotated tiles for training a segmenter.

    Attributes
    ----------
    name, licence
        Their name and licence in the model card.
    images : (n, h, w, 3) uint8
    masks : (n, h, w) integer
        Label images, 0 = background.
    mpp
        µm/px.
    share
        How often they are drawn, relative to other parts.
    patients
        Patients of the tiles; of synthetic tiles, those of their generator and donors.
    """

    name: str
    images: NDArray[np.uint8]
    masks: NDArray[Any]
    mpp: float
    share: float = 1.0
    licence: str = ""
    patients: Sequence[str] = ()


def tile_pictures(tiles: TrainingTiles) -> list[Picture]:
    """Return each tile as a picture, named by its position, as if read from files.

    Raises
    ------
    InputError
        There is no tile, images and masks do not match, or no segmenter works at the scale.
    """
    mpp = checked_mpp(tiles.mpp)
    check_scale(mpp)
    images, masks = checked_images(tiles.images), checked_masks(tiles.masks)
    if images.shape[:3] != masks.shape or not len(images):
        raise InputError(
            f"{tiles.name}: images {images.shape} and masks {masks.shape}; expected (n, h, w, 3) and "
            "(n, h, w), n at least 1"
        )
    pairs = enumerate(zip(images, masks, strict=True))
    return [
        annotated_picture(f"{index:05d}", np.asarray(image), np.asarray(mask, np.int32), mpp)
        for index, (image, mask) in pairs
    ]


def train_on_tiles(
    parts: Sequence[TrainingTiles],
    config: NetworkTraining,
    *,
    out: Path,
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Train a segmenter on tiles in memory, or continue the run in ``out``.

    The run is identified by its settings and the hashes of pixels, masks and scales. Beyond the border of a
    tile, a crop shows the mirror image of the tile.

    Parameters
    ----------
    config
        See `crop_for` for a crop that fits the tiles.
    settings
        Further settings that identify the run.

    Returns
    -------
    The directory of the weights; its card names the patients of each part.

    Raises
    ------
    InputError
        As `tile_pictures`, or the run directory has other settings.
    WorkError
        The loss stays not a number.
    """
    pictures = [tile_pictures(part) for part in parts]
    shares = [part.share for part in parts]
    cards = [
        {**training_card(part.name, part.licence, own), "patients": sorted(part.patients)}
        for part, own in zip(parts, pictures, strict=True)
    ]
    return train_network(
        pictures,
        shares,
        config,
        cards=cards,
        out=out,
        settings={"shares": shares, **(settings or {})},
        seed=seed,
        device=device,
    )


def crop_for(side: int, mpp: float) -> int:
    """Return the side of a training crop, px of 0.5 µm, as wide as a tile of ``side`` px at ``mpp`` µm/px."""
    return max(LEAST_CROP, CROP_GRAIN * round(side * mpp / NETWORK_MPP / CROP_GRAIN))
