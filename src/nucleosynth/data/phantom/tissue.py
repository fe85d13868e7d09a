"""Phantom tissue: procedural H&E tiles with exact nuclei masks, grades and patients.

Every tile's true atypia is known, and labels carry a rater's noise on top: the best
possible classifier, one that reads the atypia itself, is right on about 85 % of the tiles. The grades
follow the definition by nuclear size relative to benign: below 1.5 times, 1.5 to 2, above 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from nucleosynth.data.contours import Floats
from nucleosynth.data.phantom.nuclei import BENIGN_RADIUS
from nucleosynth.data.phantom.render import Appearance, render
from nucleosynth.data.readers.base import Prepare, ReaderConfig, TileStream
from nucleosynth.data.stain import EOSIN, HAEMATOXYLIN
from nucleosynth.data.tile import Tile
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng

CLASSES = ["grade 1", "grade 2", "grade 3"]
DEFAULT_MPP = 0.5  # µm/px


class PhantomConfig(ReaderConfig):
    """Procedural tissue in place of real data: the `data` section of a study."""

    reader: Literal["phantom"] = "phantom"
    patients: int = Field(24, ge=1, le=9999)
    """Patients, each with a stain, crowding and tendency to a grade; tile i is of patient i % patients."""
    tiles: int = Field(2400, ge=0)
    """Tiles in all; a larger number adds tiles and changes none."""
    seed: int = 0
    """Names the whole cohort."""
    label_noise: float = Field(0.3, ge=0.0, le=1.0)
    """Standard deviation of the rater's error, in grades; 0 makes the label a function of the atypia."""
    stain_spread: float = Field(1.0, ge=0.0, le=3.0)
    """Difference of stains between patients; 0 stains all alike, 1 is like several laboratories."""
    crowding: float = Field(1.0, ge=0.5, le=1.5)
    """Density of nuclei: above 1 they lie closer."""
    gaps: float = Field(0.2, ge=0.0, le=1.0)
    """Share of tiles with a white gap (lumen, fat, tear)."""

    exact_nuclei: ClassVar[bool] = True

    def tile_stream(
        self,
        tiles: TilesConfig,
        *,
        root: Path,  # noqa: ARG002 - no files are read
        workers: int | None = None,  # noqa: ARG002 - and nothing is decoded
        prepare: Prepare | None = None,
    ) -> TileStream:
        """Return the tiles, drawn one by one; no files are read.

        Raises
        ------
        InputError
            A scale that is declared unknown; frames to be prepared; as `phantom_tiles`.
        """
        if prepare is not None:
            raise InputError("data: phantom tissue has exact nuclei already; import it without a segmenter")
        if tiles.mpp == "unknown":
            raise InputError(
                "tiles.mpp: phantom tissue has a known scale; "
                f"give µm/px, or leave it out for {DEFAULT_MPP:g}"
            )
        drawn = phantom_tiles(self, size=tiles.size, mpp=tiles.mpp or DEFAULT_MPP)
        return TileStream(tiles=drawn, classes=CLASSES, ordinal=True)


@dataclass(frozen=True, slots=True)
class Grade:
    """The true grade of a tile, and the label given by a rater."""

    atypia: float  # 0-3, the latent variable that all nuclear features follow; the grade is its integer part
    size_ratio: float  # mean nuclear diameter relative to benign: 1 + atypia / 2, with some scatter
    label: int  # index into CLASSES


def phantom_grade(config: PhantomConfig, index: int) -> Grade:
    """Latent atypia, size ratio and label of tile ``index``, without painting it."""
    patient = index % config.patients
    tendency = rng(config.seed, "phantom/tendency", patient).normal(0, 0.9)
    draw = rng(config.seed, "phantom/grade", index)
    weight = np.exp(tendency * np.array([-1.0, 0.0, 1.0]))
    middle = draw.choice(3, p=weight / weight.sum()) + 0.5
    scatter, size_noise, rater = draw.standard_normal(3)
    atypia = float(np.clip(middle + 0.36 * scatter, 0.02, 2.98))
    size_ratio = 1 + atypia / 2 + 0.05 * size_noise
    label = int(np.clip(np.floor(atypia + config.label_noise * rater), 0, 2))
    return Grade(atypia=atypia, size_ratio=float(size_ratio), label=label)


def phantom_tiles(config: PhantomConfig, *, size: int, mpp: float) -> Iterator[Tile]:
    """Paint the tiles one by one; tile i depends on the configuration's seed and i alone.

    Parameters
    ----------
    config
        The cohort.
    size
        px, of the square tiles; 16 to 512.
    mpp
        µm per px; 0.1 to 2. Benign nuclei are 6.4 µm wide.

    Yields
    ------
    Tile
        With an exact instance mask, and `atypia` and `size_ratio` (see `Grade`) in `extra`.

    Raises
    ------
    InputError
        If size or mpp is out of range.
    """
    if not 16 <= size <= 512:
        raise InputError(f"phantom: tiles.size is {size} px; choose 16 to 512")
    if not 0.1 <= mpp <= 2:
        raise InputError(f"phantom: tiles.mpp is {mpp} µm/px; choose 0.1 to 2, such as 0.5")
    return _paint(config, size=size, mpp=mpp)


def _paint(config: PhantomConfig, *, size: int, mpp: float) -> Iterator[Tile]:
    appearances = [_appearance(config, patient) for patient in range(config.patients)]
    for index in range(config.tiles):
        patient = index % config.patients
        grade = phantom_grade(config, index)
        image, mask = render(
            rng(config.seed, "phantom/tile", index),
            appearances[patient],
            atypia=grade.atypia,
            size_ratio=grade.size_ratio,
            size=size,
            mpp=mpp,
        )
        yield Tile(
            tile_id=f"phantom:p{patient:02d}-{index:06d}",
            image=image,
            mask=mask,
            patient_id=f"phantom:p{patient:02d}",
            slide_id=f"phantom:p{patient:02d}",
            frame_id=f"phantom:p{patient:02d}-{index:06d}",
            label=grade.label,
            scanner="phantom",
            source_mpp=mpp,
            mpp=mpp,
            extra={"atypia": grade.atypia, "size_ratio": grade.size_ratio},
        )


def _appearance(config: PhantomConfig, patient: int) -> Appearance:
    """Draw stain, texture and optics of one patient."""
    draw = rng(config.seed, "phantom/patient", patient)
    spread = config.stain_spread
    matrix = np.array([HAEMATOXYLIN, EOSIN]) + spread * draw.normal(0, [[0.035], [0.045]], (2, 3))
    matrix = np.clip(matrix, 0.02, None)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return Appearance(
        matrix=_f(matrix),
        strength=_f(np.exp(spread * draw.normal(0, 0.20, 2))),
        white=_f(0.945 + spread * draw.normal(0, 0.012, 3).clip(-0.03, 0.03)),
        spacing=float(1.06 / config.crowding * np.exp(draw.normal(0, 0.09))),
        lymphocytes=float(draw.beta(2, 3)),
        nest=float(np.clip(draw.normal(0.45, 0.25), 0.05, 1.2)),
        gaps=config.gaps,
        benign_radius=float(BENIGN_RADIUS * np.exp(draw.normal(0, 0.03))),
        blur=float(draw.uniform(0.18, 0.32)),
        noise=float(draw.uniform(1.0, 2.5)),
    )


def _f(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Floats:
    return np.asarray(values, np.float32)
