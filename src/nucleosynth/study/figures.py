"""The figures of a study, drawn from its record and its sample pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nucleosynth.render import plots
from nucleosynth.render.outlines import draw_masks, draw_outlines
from nucleosynth.render.page import tile_scale
from nucleosynth.render.tile_rows import tile_rows
from nucleosynth.render.wording import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8  # tiles per row in the pictures for the documentation


def study_figures(record: Mapping[str, Any], pictures: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the plots that the study has data for."""
    figures: dict[str, Any] = {}
    protocol, data = record.get("protocol") or {}, record.get("data") or {}
    primary, classes = protocol.get("primary") or "balanced_accuracy", data.get("classes") or []
    patients = ((data.get("parts") or {}).get("test") or {}).get("patients") or 0
    points = _points(record, primary)
    if points:
        chance = {"balanced_accuracy": 1 / max(len(classes), 1), "auroc": 0.5, "kappa": 0.0}.get(primary)
        figures["dose_response"] = plots.dose_response(
            points, metric=primary, patients=patients, chance=chance
        )
    if differences := per_patient(record):
        figures["patient_differences"] = plots.patient_differences(differences, metric=primary)
    matrices = {arm["arm"]: arm["confusion"] for arm in record.get("arms") or [] if arm.get("confusion")}
    if matrices:
        figures["confusion"] = plots.confusion(matrices, classes)
    if loss := [point for point in pictures.get("loss_curve") or [] if is_number(float(point[1]))]:
        figures["loss"] = plots.loss_curve(loss)
    return figures


def _points(record: Mapping[str, Any], metric: str) -> list[plots.ArmPoint]:
    arms = {arm["arm"]: arm for arm in (record.get("protocol") or {}).get("arms") or []}
    against_real = {
        comparison["arm"]: comparison
        for comparison in record.get("comparisons") or []
        if comparison["metric"] == metric and comparison["baseline"] == "real"
    }
    points = []
    for arm in record.get("arms") or []:
        name, kind = arm["arm"], arms.get(arm["arm"], {})
        values = [value for value in arm["metrics"].get(metric, {}).get("per_seed") or [] if is_number(value)]
        compared = against_real.get(name, {})
        bounds = compared.get("interval")
        if values:
            points.append(
                plots.ArmPoint(
                    arm=name,
                    kind=kind.get("kind", name),
                    dose=kind.get("dose"),
                    values=tuple(values),
                    difference=compared.get("difference"),
                    interval=(bounds[0], bounds[1]) if bounds else None,
                )
            )
    return points


def per_patient(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the primary metric's differences by arm and patient, where there are no intervals."""
    primary = (record.get("protocol") or {}).get("primary")
    return {
        comparison["arm"]: comparison["per_patient"]
        for comparison in record.get("comparisons") or []
        if comparison["metric"] == primary
        and comparison["baseline"] == "real"
        and comparison.get("per_patient")
        and not comparison.get("interval")
    }


def tile_pictures(pictures: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw rows of synthetic tiles, and masks asked for above the tiles made from them."""
    synthetic = {
        name: tiles[:COLUMNS] for name, tiles in (pictures.get("synthetic") or {}).items() if len(tiles)
    }
    if not synthetic:
        return {}
    named = {"synthetic" if name == "all" else name: tiles for name, tiles in synthetic.items()}
    title = "Synthetic tiles, drawn at random"
    figures = {"synthetic_grid": tile_rows(named, title=title, note="none of these is real tissue")}
    masks = {
        name: found[:COLUMNS]
        for name, found in (pictures.get("synthetic_masks") or {}).items()
        if found is not None and name in synthetic
    }
    if masks:
        name, asked = next(iter(masks.items()))
        made, scale = synthetic[name], tile_scale(synthetic[name].shape[2])
        rows = {"nuclei asked for": draw_masks(asked, scale=scale), "tile made": made}
        rows["both"] = draw_outlines(made, asked, scale=scale)
        title = "Nuclei masks asked for and the synthetic tiles made from them"
        figures["masks_and_tiles"] = tile_rows(rows, title=title)
    return figures
