"""One tile: pixels, mask, identity and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Rating:
    """The score of one rater for one criterion."""

    rater: str
    criterion: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile: pixels, optional instance mask, identity and meaning.

    ``image`` is (h, w, 3) uint8 RGB, ``mask`` (h, w) uint16 with 0 = background. Ids are ``<dataset>:<id>``.
    ``x``, ``y`` are pixels of the source image at ``source_mpp`` µm/px; the tile itself is at ``mpp``.
    """

    tile_id: str
    image: npt.NDArray[np.uint8]
    patient_id: str | None
    mask: npt.NDArray[np.uint16] | None = None
    slide_id: str | None = None
    frame_id: str | None = None
    label: int | None = None
    ratings: tuple[Rating, ...] = ()
    scanner: str | None = None
    x: float | None = None
    y: float | None = None
    source_mpp: float | None = None
    mpp: float | None = None
    patient_known: bool = True
    synthetic: bool = False
    generator_id: str | None = None
    sample_index: int | None = None
    seed: int | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance: str | None = None
    donor_tile_id: str | None = None
    donor_patient_id: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
