"""Nuclei in a pathologist's terms: one row per nucleus, and one per tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nucleosynth.arguments import as_instance, as_number
from nucleosynth.data.arrays import as_images, checked_masks, checked_mpp
from nucleosynth.errors import InputError
from nucleosynth.nuclei.chromatin import nuclear_chromatin
from nucleosynth.nuclei.instances import is_binary, number_nuclei
from nucleosynth.nuclei.shapes import NuclearPixels, neighbour_distance, nuclear_shapes, ratio_where
from nucleosynth.nuclei.size_reference import size_grade

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

NUCLEUS_MEASURES = {
    "area_um2": "µm²",
    "diameter_um": "µm",
    "eccentricity": "",
    "solidity": "",
    "irregularity": "",
    "haematoxylin_od": "OD",
    "chromatin_cv": "",
    "nucleolus_prominence": "",
    "neighbour_um": "µm",
}
"""Measures of a nucleus and their units."""

PIXEL_MEASURES = ("haematoxylin_od", "chromatin_cv", "nucleolus_prominence")

TILE_MEASURES = {"density_per_mm2": "1/mm²", "anisonucleosis": "", "size_ratio": ""}
"""Measures that only a tile has, and their units; a tile also has the means of `NUCLEUS_MEASURES`."""

_PART = 2**22  # px measured together


def nuclei_table(images: Any, masks: Any, *, mpp: float) -> pa.Table:
    """Measure every nucleus of some tiles.

    Parameters
    ----------
    images : (n, h, w, 3) whole numbers from 0 to 255, or None
        RGB tiles, as array, nested lists or PIL images; None leaves the measures of staining NaN.
    masks : (n, h, w) integer or bool
        Their nuclei: label images, or binary masks, whose 4-connected components are the nuclei.
    mpp : float
        µm/px.

    Returns
    -------
    pyarrow.Table
        One row per nucleus, in order of tile and label. Fields carry their ``unit``; the schema's metadata
        carry ``tiles``, ``height``, ``width`` and ``mpp`` for :func:`tile_table`.

        - ``tile``, ``label``: which nucleus it is; ``x_um``, ``y_um``: centroid, from the tile's upper left.
        - ``area_um2``; ``diameter_um`` of the circle of equal area.
        - ``eccentricity``, ``solidity``, ``irregularity``, ``touches_border``, ``edge_weight``: see
          :class:`~nucleosynth.nuclei.shapes.Shapes`. A nucleus cut by the border has a row too; its weight is
          0: leave it out of statistics of size and shape.
        - ``haematoxylin_od``, ``chromatin_cv``, ``nucleolus_prominence``: see
          :class:`~nucleosynth.nuclei.chromatin.Chromatin`.
        - ``neighbour_um``: from its centroid to the nearest other one in the tile; NaN if it is alone.

    Raises
    ------
    InputError
        Masks or images of another shape or dtype, or a missing or impossible `mpp`.
    """
    scale, labels = checked_mpp(mpp), checked_masks(masks)
    pixels = None if images is None else as_images(images)
    if pixels is not None and pixels.shape[:3] != labels.shape:
        raise InputError(
            f"images are {pixels.shape[:3]} and masks {labels.shape} (tiles, height, width); expected alike"
        )
    binary = is_binary(labels)
    parts = [
        _measure(
            None if pixels is None else np.asarray(pixels[part]), labels[part], part.start, scale, binary
        )
        for part in _parts(labels.shape)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    height, width = labels.shape[1:]
    about = {"tiles": len(labels), "height": height, "width": width, "mpp": scale}
    return _table(columns, {key: str(value) for key, value in about.items()})


def tile_table(nuclei: pa.Table, *, benign_um: float | None = None) -> pa.Table:
    """Summarise the nuclei of each tile.

    Parameters
    ----------
    nuclei
        Of :func:`nuclei_table`.
    benign_um : float, optional
        Diameter of benign nuclei, µm; None leaves the size ratio NaN.

    Returns
    -------
    pyarrow.Table
        One row per tile, those without nuclei too.

        - ``tile``; ``nuclei``: how many, ``whole_nuclei``: those that do not touch the border. All below but
          the density are of whole nuclei alone, NaN without one.
        - ``density_per_mm2``: whole nuclei and half of those that touch the border (two tiles share them).
        - ``area_um2`` to ``neighbour_um``: means over nuclei, by their ``edge_weight``: unweighted, large
          nuclei would count too little, since more of them are cut.
        - ``anisonucleosis``: coefficient of variation of the diameter, NaN below two nuclei.
        - ``size_ratio``: mean diameter over `benign_um`; ``size_grade``: 1 below 1.5, 2 up to 2, 3 above, 0
          where unknown.

    Raises
    ------
    InputError
        A table without the metadata of :func:`nuclei_table`, or an impossible diameter.
    """
    count, field_mm2 = _field(as_instance(nuclei, pa.Table, "nuclei", how="make it with nuclei_table"))
    if benign_um is not None and not as_number(benign_um, "benign_um") > 0:
        raise InputError(f"benign diameter is {benign_um!r} µm; expected one above 0, such as 6.4")
    tile = nuclei["tile"].to_numpy()
    whole = ~nuclei["touches_border"].to_numpy(zero_copy_only=False)
    weight = nuclei["edge_weight"].to_numpy()
    every, uncut = np.bincount(tile, minlength=count), np.bincount(tile[whole], minlength=count)
    columns: Columns = {
        "tile": np.arange(count),
        "nuclei": every,
        "whole_nuclei": uncut,
        "density_per_mm2": (uncut + every) / 2 / (field_mm2 or np.nan),
    }
    for name in NUCLEUS_MEASURES:
        columns[name] = _tile_mean(nuclei[name].to_numpy(), weight, tile, count)
    mean = columns["diameter_um"]
    square = (nuclei["diameter_um"].to_numpy() - mean[tile]) ** 2
    variance = _tile_mean(square, weight, tile, count) * ratio_where(uncut, uncut - 1.0, uncut > 1)
    columns["anisonucleosis"] = np.sqrt(variance) / mean
    columns["size_ratio"] = mean / (np.nan if benign_um is None else benign_um)
    columns["size_grade"] = size_grade(columns["size_ratio"])
    return _table(columns, {})


def _parts(shape: tuple[int, ...]) -> Iterator[slice]:
    tiles = max(1, _PART // max(1, shape[1] * shape[2]))
    for start in range(0, max(shape[0], 1), tiles):
        yield slice(start, start + tiles)


def _measure(
    images: NDArray[np.uint8] | None, masks: NDArray[Any], first: int, mpp: float, binary: bool
) -> Columns:
    nuclei = number_nuclei(masks, binary=binary)
    pixels = NuclearPixels.of(nuclei)
    shapes = nuclear_shapes(nuclei, pixels)
    columns: Columns = {
        "tile": nuclei.tile + first,
        "label": nuclei.label,
        "x_um": (shapes.x + 0.5) * mpp,
        "y_um": (shapes.y + 0.5) * mpp,
        "area_um2": shapes.area * mpp**2,
        "diameter_um": np.sqrt(shapes.area * 4 / np.pi) * mpp,
        "eccentricity": shapes.eccentricity,
        "solidity": shapes.solidity,
        "irregularity": shapes.irregularity,
        "neighbour_um": neighbour_distance(nuclei.tile, shapes.y, shapes.x) * mpp,
        "touches_border": shapes.touches_border,
        "edge_weight": shapes.edge_weight,
    }
    if images is None:
        return columns | {name: np.full(len(nuclei.area), np.nan) for name in PIXEL_MEASURES}
    chromatin = nuclear_chromatin(images, nuclei, pixels)
    found = (chromatin.haematoxylin, chromatin.heterogeneity, chromatin.nucleolus)
    return columns | dict(zip(PIXEL_MEASURES, found, strict=True))


def _table(columns: Columns, about: dict[str, str]) -> pa.Table:
    units = {"x_um": "µm", "y_um": "µm", **NUCLEUS_MEASURES, **TILE_MEASURES}
    fields, arrays = [], []
    for name, values in columns.items():
        array = pa.array(values)
        unit = {"unit": units[name]} if units.get(name) else None
        fields.append(pa.field(name, array.type, metadata=unit))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields, metadata=about or None))


def _field(nuclei: pa.Table) -> tuple[int, float]:
    """Tiles behind a table, and the area of one in mm²."""
    about = nuclei.schema.metadata or {}
    try:
        tiles, height, width = (int(about[key]) for key in (b"tiles", b"height", b"width"))
        return tiles, height * width * (float(about[b"mpp"]) / 1000) ** 2
    except KeyError:
        raise InputError(
            "nuclei table: its schema lacks tiles, height, width or mpp; make it by nuclei_table and keep "
            "its metadata"
        ) from None


def _tile_mean(values: Floats, weight: Floats, tile: NDArray[np.int64], count: int) -> Floats:
    known = ~np.isnan(values)
    total = np.bincount(tile[known], weights=weight[known], minlength=count)
    sums = np.bincount(tile[known], weights=(values * weight)[known], minlength=count)
    return ratio_where(sums, total, total > 0)
