"""The figures of a study, drawn from its record and its sample pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nucleosynth.render.outlines import draw_masks, draw_outlines
from nucleosynth.render.page import tile_scale
from nucleosynth.render.tile_rows import tile_rows
from nucleosynth.render.wording import is_number
from nucleosynth.study.report import plot_classification as plots
from nucleosynth.study.report.plot_arms import NO_SYNTHESIS, ArmPoint, data_fractions, dose_response
from nucleosynth.study.report.plot_forest import Difference, forest, patient_differences
from nucleosynth.study.report.queries import (
    Record,
    against_real,
    arm_kinds,
    at_fraction,
    chosen_arms,
    forest_rows,
    fractions_of,
    kind_of,
    per_patient,
    primary_arm,
    primary_metric,
    shown_metrics,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8  # tiles per row in the pictures for the documentation
DOSES = 4  # at most this many next to the primary arm in the figure of the data fractions


def study_figures(record: Record, pictures: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the plots that the study has data for."""
    data, metric = record.get("data") or {}, primary_metric(record)
    classes = data.get("classes") or []
    patients = ((data.get("parts") or {}).get("test") or {}).get("patients") or 0
    figures = _arm_figures(record, metric, patients, classes)
    if differences := per_patient(record):
        figures["patient_differences"] = patient_differences(differences, metric=metric)
    if matrices := confusions(record):
        figures["confusion"] = plots.confusion(matrices, classes)
    if curves := _reliability(record):
        figures["reliability"] = plots.reliability(curves)
    if measures := _measures(record):
        figures["morphology"] = plots.measures_apart(measures)
    if loss := [point for point in pictures.get("loss_curve") or [] if is_number(float(point[1]))]:
        figures["loss"] = plots.loss_curve(loss)
    return figures


def confusions(record: Record) -> dict[str, Sequence[Sequence[int]]]:
    """Return the confusion matrix of each arm at the largest fraction."""
    arms = at_fraction(record.get("arms"), fractions_of(record)[0])
    return {arm["arm"]: arm["confusion"] for arm in arms if arm.get("confusion")}


def _arm_figures(record: Record, metric: str, patients: int, classes: Sequence[str]) -> dict[str, Figure]:
    figures: dict[str, Any] = {}
    points = _points(record, metric, fractions_of(record)[0])
    if differences := _forest(record):
        figures["forest"] = forest(differences, patients=patients)
    if any(point.kind == "dose" for point in points):
        chance = {"balanced_accuracy": 1 / max(len(classes), 1), "auroc": 0.5, "kappa": 0.0}.get(metric)
        figures["dose_response"] = dose_response(points, metric=metric, patients=patients, chance=chance)
    fractions = _fractions(record, metric)
    if len({point.fraction for point in fractions}) > 1:
        figures["data_fractions"] = data_fractions(fractions, metric=metric, patients=patients)
    return figures


def _points(record: Record, metric: str, fraction: float) -> list[ArmPoint]:
    kinds, compared = arm_kinds(record), against_real(record, metric, fraction)
    points = []
    for arm in at_fraction(record.get("arms"), fraction):
        name, bounds = arm["arm"], compared.get(arm["arm"], {}).get("interval")
        values = [value for value in arm["metrics"].get(metric, {}).get("per_seed") or [] if is_number(value)]
        if values:
            points.append(
                ArmPoint(
                    arm=name,
                    kind=kind_of(record, name),
                    dose=kinds.get(name, {}).get("dose"),
                    fraction=fraction,
                    values=tuple(values),
                    difference=compared.get(name, {}).get("difference"),
                    interval=(bounds[0], bounds[1]) if bounds else None,
                )
            )
    return points


def _fractions(record: Record, metric: str) -> list[ArmPoint]:
    """Return the arms without synthetic tiles, the primary arm, a few doses, and held-back tiles."""
    points = [point for fraction in fractions_of(record) for point in _points(record, metric, fraction)]
    doses = {point.arm for point in points if point.kind == "dose"}
    without = ("real", *NO_SYNTHESIS, "held-back")
    shown = {primary_arm(record), *chosen_arms(record), *(doses if len(doses) <= DOSES else ())}
    return [point for point in points if point.arm in shown or point.kind in without]


def _forest(record: Record) -> dict[str, list[Difference]]:
    """Return a column per metric that has intervals."""
    rows, primary = forest_rows(record), primary_arm(record)
    columns = {
        metric: [
            Difference(
                arm=name,
                kind=kind_of(record, name),
                estimate=found[metric]["difference"],
                interval=(found[metric]["interval"][0], found[metric]["interval"][1]),
                primary=name == primary,
            )
            for name, found in rows
            if metric in found and found[metric].get("interval")
        ]
        for metric in shown_metrics(record)
    }
    return {metric: found for metric, found in columns.items() if found}


def _reliability(record: Record) -> dict[str, tuple[str, Sequence[Mapping[str, float]]]]:
    """Return the bins of real tiles alone and of the primary arm."""
    shown = ("real", primary_arm(record), *chosen_arms(record))
    return {
        arm["arm"]: (kind_of(record, arm["arm"]), arm["calibration"]["reliability"])
        for arm in at_fraction(record.get("arms"), fractions_of(record)[0])
        if arm["arm"] in shown and arm.get("calibration")
    }


def _measures(record: Record) -> dict[str, tuple[float, float | None]]:
    """Return the distance of synthetic nuclei to real ones per measure, where the study measured it."""
    measures = ((record.get("morphology") or {}).get("measures") or {}).get("all") or {}
    return {
        name: (found["distance_sd"], found["real_reference_sd"])
        for name, found in measures.items()
        if is_number(found["distance_sd"])
    }


def tile_pictures(pictures: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw rows of synthetic tiles, and requested masks above the tiles made from them."""
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
        rows = {"requested nuclei": draw_masks(asked, scale=scale), "synthetic tile": made}
        rows["both"] = draw_outlines(made, asked, scale=scale)
        title = "Requested nuclei masks and the synthetic tiles made from them"
        figures["masks_and_tiles"] = tile_rows(rows, title=title)
    return figures
