"""The report of a study: ``report.json`` for programs and one self-contained ``report.html`` for readers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.render.figure import save_figure, svg_data_uri
from nucleosynth.render.page import TileFigure, render_page, tile_figure, tile_scale
from nucleosynth.render.wording import elapsed, is_number, number
from nucleosynth.runs import write_json, write_text
from nucleosynth.study.figures import per_patient, study_figures, tile_pictures
from nucleosynth.study.pseudonyms import pseudonymise

TEMPLATES = Path(__file__).parent / "templates"
HALF_WIDTH = 528  # px: real and synthetic tiles stand side by side
ROWS = 4  # of tiles per class

Record = dict[str, Any]


def build_report(
    record: Mapping[str, Any],
    pictures: Mapping[str, Any],
    out: Path,
    *,
    real_tiles: bool = True,
    patients: Iterable[str] = (),
) -> Path:
    """Write ``report.json`` and ``report.html``.

    Parameters
    ----------
    record : mapping
        The study's record, schema 1, as ``report.json`` holds it.
    pictures : mapping
        ``real`` and ``synthetic``: {class or "all": (n, h, w, 3) uint8}; ``synthetic_masks``: {class:
        (n, h, w) integer or None}, the masks asked for; ``loss_curve``: [(step, loss)]; ``pairs``: synthetic
        tiles and the training tiles nearest to them. Each may be missing.
    out : Path
        Directory; it is made if need be.
    real_tiles : bool
        False for a report that leaves the house: no picture of a real tile, and patients under numbers in
        both files.
    patients : iterable of str
        Ids to be numbered besides those that the record compares, wherever they occur in its text.

    Returns
    -------
    Path
        ``out/report.html``. The record is written first, so that it outlives a failure to draw.
    """
    plain = finite(record)
    if not real_tiles:
        plain = pseudonymise(plain, patients)
        pictures = {name: value for name, value in pictures.items() if name not in ("real", "pairs")}
    write_json(out / "report.json", plain)
    context = {
        "r": plain,
        "real_tiles": real_tiles,
        "took": elapsed(plain.get("created"), plain.get("finished")),
        "tiles": list(_tile_pairs(pictures)),
        "pairs": _nearest_pairs(pictures.get("pairs")),
        "figures": {name: svg_data_uri(figure) for name, figure in study_figures(plain, pictures).items()},
        "comparisons": _by_primary(plain),
        "per_patient": per_patient(plain),
        "agreement": _agreement_gauge(plain.get("agreement") or {}),
        "fidelity": _fidelity_gauge(plain.get("fidelity") or {}),
    }
    write_text(out / "report.html", render_page("report.html.j2", context, folder=TEMPLATES))
    return out / "report.html"


def save_figures(record: Mapping[str, Any], pictures: Mapping[str, Any], out_dir: Path) -> list[Path]:
    """Write the figures of a study as PNG files for documentation; only synthetic tiles are shown.

    Parameters
    ----------
    record, pictures : mapping
        As for `build_report`.
    out_dir : Path
        Receives ``dose_response.png``, ``patient_differences.png``, ``confusion.png``, ``loss.png``,
        ``synthetic_grid.png`` and ``masks_and_tiles.png``, each where the study has what it shows.

    Returns
    -------
    list of Path
        The files written.
    """
    figures = study_figures(finite(record), pictures) | tile_pictures(pictures)
    return [save_figure(figure, out_dir / f"{name}.png") for name, figure in figures.items()]


def finite(value: Any) -> Any:
    """Copy nested data as plain JSON values: NaN and infinities become null, tuples lists, keys text."""
    match value:
        case Mapping():
            return {str(key): finite(item) for key, item in value.items()}
        case np.generic() | np.ndarray():
            return finite(value.tolist())
        case list() | tuple():
            return [finite(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case Path():
            return str(value)
    return value


def _tile_pairs(pictures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Real beside synthetic tiles of each class, as many of one as of the other."""
    real, synthetic = pictures.get("real") or {}, pictures.get("synthetic") or {}
    masks = pictures.get("synthetic_masks") or {}
    for name in dict.fromkeys([*synthetic, *real]):
        sets = [tiles[name] for tiles in (real, synthetic) if name in tiles and len(tiles[name])]
        if not sets:
            continue
        scale = tile_scale(sets[0].shape[2])
        columns = max(1, (HALF_WIDTH + scale) // ((sets[0].shape[2] + 1) * scale))
        shown = min(columns * ROWS, *map(len, sets))
        what = "" if name == "all" else f" of class {name}"
        yield {
            "name": name,
            "real": _side(real.get(name), None, shown, columns, f"{shown} real tiles{what}"),
            "synthetic": _side(
                synthetic.get(name), masks.get(name), shown, columns, f"{shown} synthetic tiles{what}"
            ),
        }


def _nearest_pairs(pairs: tuple[Any, Any] | None) -> dict[str, TileFigure | None] | None:
    """Synthetic tiles beside the training tiles that they are nearest to, in the same order."""
    if pairs is None:
        return None
    shown = len(pairs[0])
    columns = max(1, HALF_WIDTH // (tile_scale(pairs[0].shape[2]) * (pairs[0].shape[2] + 1)))
    names = (f"{shown} synthetic tiles", f"the {shown} training tiles nearest to them")
    return {
        side: _side(images, None, shown, columns, alt)
        for side, images, alt in zip(("synthetic", "real"), pairs, names, strict=True)
    }


def _side(images: Any, masks: Any, shown: int, columns: int, alt: str) -> TileFigure | None:
    if images is None or not len(images):
        return None
    return tile_figure(images[:shown], None if masks is None else masks[:shown], columns=columns, alt=alt)


def _by_primary(record: Record) -> list[Record]:
    """Return the comparisons with those of the primary metric first, otherwise in their order."""
    primary = (record.get("protocol") or {}).get("primary")
    return sorted(record.get("comparisons") or [], key=lambda comparison: comparison["metric"] != primary)


def _agreement_gauge(agreement: Record) -> Record | None:
    test = agreement.get("test") or {}
    values = [("by chance", "floor"), ("asked for and found", "iou"), ("real tiles", "ceiling")]
    return _gauge([(name, test.get(key), key == "iou") for name, key in values], end=1.0)


def _fidelity_gauge(fidelity: Record) -> Record | None:
    test = fidelity.get("test") or {}
    floor = test.get("floor") or {}
    marks = [
        ("synthetic", test.get("kid"), True),
        ("within the training patients", floor.get("within"), False),
        ("unseen real patients", floor.get("between"), False),
    ]
    return _gauge(marks, span=test.get("kid_interval"))


def _gauge(
    marks: Sequence[tuple[str, Any, bool]], *, span: Sequence[float] | None = None, end: float | None = None
) -> Record | None:
    """Place values on a line from 0 to ``end`` (or a little past the largest), in % of its length."""
    known = [(name, value, own) for name, value, own in marks if is_number(value)]
    if not any(own for _, _, own in known):
        return None
    span = span if span and all(map(is_number, span)) else None
    end = end or 1.1 * max(*(value for _, value, _ in known), *(span or [0.0]), 1e-6)

    def place(value: float) -> float:
        return round(100 * min(max(value / end, 0.0), 1.0), 2)

    placed: list[Record] = []
    for name, value, own in sorted(known, key=lambda mark: mark[1]):
        low = not own and any(not mark["own"] and place(value) - mark["place"] < 28 for mark in placed[-2:])
        low = low and not placed[-1].get("low")
        placed.append({"name": name, "text": number(value), "place": place(value), "own": own, "low": low})
    return {"marks": placed, "span": [place(bound) for bound in span] if span else None}
