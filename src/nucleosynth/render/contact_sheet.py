"""The contact sheet of a TileSet: counts, patients and sample tiles on one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.files import write_text
from nucleosynth.render.page import render_page, tile_figure
from nucleosynth.seeds import rng

UNLABELLED = "unlabelled"


class Tiles(Protocol):
    """The fields of a TileSet that a contact sheet reads; a protocol, as this package must not import it."""

    path: Path
    info: dict[str, Any]
    classes: list[str]
    ordinal: bool
    content_hash: str
    size: tuple[int, int]
    mpp: float | None

    def __len__(self) -> int: ...
    @property
    def images(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def masks(self) -> NDArray[np.uint16] | None: ...  # noqa: D102
    @property
    def has_mask(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def patients(self) -> NDArray[np.str_]: ...  # noqa: D102
    def column(self, name: str) -> list[Any]: ...  # noqa: D102


def contact_sheet(tiles: Tiles, out: Path, *, per_group: int = 24, seed: int = 0) -> Path:
    """Write a page with the content of a TileSet.

    Parameters
    ----------
    tiles : TileSet
        The tiles; only those shown are read.
    out : Path
        The HTML file to write; it includes its pictures and loads nothing.
    per_group : int
        Tiles shown per class, drawn at random without replacement.
    seed : int
        Seed of that draw.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    InputError
        If ``per_group`` is not positive.
    """
    if per_group < 1:
        raise InputError(f"contact sheet: per_group must be at least 1, got {per_group}")
    groups = _groups(tiles, per_group, seed)
    context = {
        "name": tiles.path.name,
        "total": len(tiles),
        "height": tiles.size[0],
        "width": tiles.size[1],
        "mpp": tiles.mpp,
        "licence": tiles.info.get("licence"),
        "content_hash": tiles.content_hash,
        "ordinal": tiles.ordinal,
        "synthetic": sum(map(bool, tiles.column("synthetic"))),
        "guessed": sum(known is False for known in tiles.column("patient_known")),
        "masked": int(tiles.has_mask.sum()),
        "outlined": any(entry["figure"].outlines for group in groups for entry in group["figures"]),
        "groups": groups,
        "patients": _patients(tiles),
        "seed": seed,
    }
    write_text(out, render_page("contact_sheet.html.j2", context))
    return out


def _present(tiles: Tiles) -> list[int]:
    """Return the labels to show: every class, even an empty one, and -1 where there are unlabelled tiles."""
    return [*range(len(tiles.classes)), *([-1] if np.any(tiles.labels < 0) else [])]


def _groups(tiles: Tiles, per_group: int, seed: int) -> list[dict[str, Any]]:
    names, synthetic = tiles.column("tile_id"), tiles.column("synthetic")
    groups = []
    for label in _present(tiles):
        rows = np.flatnonzero(tiles.labels == label)
        group = tiles.classes[label] if label >= 0 else UNLABELLED
        draw = rng(seed, "contact-sheet", label + 1)
        shown = np.sort(draw.choice(rows, min(per_group, len(rows)), replace=False))
        entries = []
        for row in shown:
            mask = tiles.masks[row][None] if tiles.masks is not None and tiles.has_mask[row] else None
            patient = str(tiles.patients[row])
            alt = f"tile {names[row]}, {group}, {patient}"
            figure = tile_figure(tiles.images[row][None], mask, columns=1, alt=alt)
            entries.append(
                {
                    "figure": figure,
                    "tile_id": names[row],
                    "patient": patient,
                    "synthetic": bool(synthetic[row]),
                }
            )
        patients = len(np.unique(tiles.patients[rows]))
        groups.append({"name": group, "tiles": len(rows), "patients": patients, "figures": entries})
    return groups


def _patients(tiles: Tiles) -> list[dict[str, Any]]:
    patients, index = np.unique(tiles.patients, return_inverse=True)
    masked = np.bincount(index, weights=tiles.has_mask, minlength=len(patients)).astype(int)
    counts = np.stack(
        [np.bincount(index[tiles.labels == label], minlength=len(patients)) for label in _present(tiles)],
        axis=1,
    )
    return [
        {"patient": str(name), "tiles": int(row.sum()), "counts": row.tolist(), "masked": int(with_mask)}
        for name, row, with_mask in zip(patients, counts, masked, strict=True)
    ]
