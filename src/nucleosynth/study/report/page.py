"""The report of a study: ``report.json`` for programs and one self-contained ``report.html`` for readers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.files import write_json, write_text
from nucleosynth.render.figure import save_figure, svg_data_uri
from nucleosynth.render.page import TileFigure, render_page, tile_figure, tile_scale
from nucleosynth.render.wording import elapsed
from nucleosynth.study.report import queries
from nucleosynth.study.report.cards import write_cards
from nucleosynth.study.report.figures import confusions, study_figures, tile_pictures
from nucleosynth.study.report.pseudonyms import pseudonymise
from nucleosynth.study.report.score_bars import agreement_bar, fidelity_bar
from nucleosynth.study.report.tables import write_tables

TEMPLATES = Path(__file__).parent / "templates"
HALF_WIDTH = 528  # px: real tiles left, synthetic tiles right
ROWS = 4  # of tiles per class
SPOKEN = 3  # first and last lines of the verdict, which are always at the top

Record = dict[str, Any]


def build_report(
    record: Mapping[str, Any],
    pictures: Mapping[str, Any],
    out: Path,
    *,
    real_tiles: bool = True,
    patients: Iterable[str] = (),
) -> Path:
    """Write ``report.json``, ``report.html``, tables as CSV and the cards of tiles and generator.

    Parameters
    ----------
    record : mapping
        The study's record, schema 3, as in ``report.json``; parts may be missing if the study is not
        finished.
    pictures : mapping
        ``real`` and ``synthetic``: {class or "all": (n, h, w, 3) uint8}; ``synthetic_masks``: {class:
        (n, h, w) integer or None}, the requested masks; ``loss_curve``: [(step, loss)]; ``pairs``: synthetic
        tiles and the training tiles nearest to them. Each may be missing.
    out : Path
        Output directory; made if it does not exist.
    real_tiles : bool
        False for a report to be shared: no picture of a real tile, and numbers in place of patient ids in
        every file.
    patients : iterable of str
        Further ids to replace by numbers, wherever they occur in the text of the record.

    Returns
    -------
    Path
        ``out/report.html``. The record is written first, so it is kept if drawing fails.
    """
    plain = finite(record)
    if not real_tiles:
        plain = pseudonymise(plain, patients)
        pictures = {name: value for name, value in pictures.items() if name not in ("real", "pairs")}
    write_json(out / "report.json", plain)
    write_tables(plain, out)
    write_cards(plain, out)
    context = _context(plain, pictures) | {"real_tiles": real_tiles}
    write_text(out / "report.html", render_page("report.html.j2", context, folder=TEMPLATES))
    return out / "report.html"


def _context(record: Record, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that the templates use."""
    figures = study_figures(record, pictures)
    figures.pop("confusion", None)  # the page has a table per arm instead, which fits a phone
    choices = queries.choices(record)
    return {
        "r": record,
        "spoken": _spoken((record.get("verdict") or {}).get("lines") or []),
        "took": elapsed(record.get("created"), record.get("finished")),
        "tiles": list(_tile_pairs(pictures)),
        "pairs": _nearest_pairs(pictures.get("pairs")),
        "figures": {name: svg_data_uri(figure) for name, figure in figures.items()},
        "confusion": confusions(record),
        "data_fractions": queries.fractions_of(record),
        "shown_metrics": queries.shown_metrics(record),
        "primary_arm": queries.primary_arm(record),
        "choices": choices,
        "candidates": list(dict.fromkeys(name for one in choices for name in one.get("scores") or {})),
        "arms": queries.at_fraction(record.get("arms"), queries.fractions_of(record)[0]),
        "claim_rows": queries.claim_rows(record),
        "forest_rows": queries.forest_rows(record),
        "fraction_rows": queries.fraction_rows(record),
        "segmenter_rows": queries.segmenter_rows(record),
        "comparisons": queries.by_primary(record),
        "per_patient": queries.per_patient(record),
        "agreement": agreement_bar(record.get("agreement") or {}),
        "fidelity": fidelity_bar(record.get("fidelity") or {}),
    }


def _spoken(lines: list[str]) -> dict[str, list[str]]:
    """Divide the lines of the verdict: the claim comes first, masks and fidelity come last."""
    if len(lines) <= 2 * SPOKEN + 1:
        return {"first": lines, "between": [], "last": []}
    return {"first": lines[:SPOKEN], "between": lines[SPOKEN:-SPOKEN], "last": lines[-SPOKEN:]}


def save_figures(record: Mapping[str, Any], pictures: Mapping[str, Any], out_dir: Path) -> list[Path]:
    """Write the figures of a study as PNG files for documentation; only synthetic tiles are shown.

    Parameters
    ----------
    record, pictures : mapping
        As for `build_report`.
    out_dir : Path
        Receives ``forest.png``, ``dose_response.png``, ``data_fractions.png``, ``patient_differences.png``,
        ``confusion.png``, ``reliability.png``, ``morphology.png``, ``loss.png``, ``synthetic_grid.png`` and
        ``masks_and_tiles.png``, each if the study has the data for it.

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
    """Yield equally many real and synthetic tiles of each class."""
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
            "real": _figure(real.get(name), None, shown, columns, f"{shown} real tiles{what}"),
            "synthetic": _figure(
                synthetic.get(name), masks.get(name), shown, columns, f"{shown} synthetic tiles{what}"
            ),
        }


def _nearest_pairs(pairs: tuple[Any, Any] | None) -> dict[str, TileFigure | None] | None:
    """Return synthetic tiles and the training tiles nearest to them, in the same order."""
    if pairs is None:
        return None
    shown = len(pairs[0])
    columns = max(1, HALF_WIDTH // (tile_scale(pairs[0].shape[2]) * (pairs[0].shape[2] + 1)))
    names = (f"{shown} synthetic tiles", f"the {shown} training tiles nearest to them")
    return {
        group: _figure(images, None, shown, columns, alt)
        for group, images, alt in zip(("synthetic", "real"), pairs, names, strict=True)
    }


def _figure(images: Any, masks: Any, shown: int, columns: int, alt: str) -> TileFigure | None:
    if images is None or not len(images):
        return None
    return tile_figure(images[:shown], None if masks is None else masks[:shown], columns=columns, alt=alt)
