"""Queries of a study's record that page, figures, tables and cards of the report share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nucleosynth.study.design.arms import CHOSEN
from nucleosynth.study.design.fits import Fit

Record = Mapping[str, Any]


def primary_metric(record: Record) -> str:
    """Return the primary metric, which decides the headline."""
    return (record.get("protocol") or {}).get("primary") or "balanced_accuracy"


def fractions_of(record: Record) -> list[float]:
    """Return the data fractions, the largest first."""
    return sorted(record["protocol"]["fractions"], reverse=True)


def at_fraction(entries: Iterable[Record] | None, fraction: float) -> list[Record]:
    """Return the arms or comparisons at one data fraction."""
    return [entry for entry in entries or [] if entry["fraction"] == fraction]


def arm_kinds(record: Record) -> dict[str, Record]:
    """Return the protocol's entry of each arm, by name."""
    return {arm["arm"]: arm for arm in (record.get("protocol") or {}).get("arms") or []}


def kind_of(record: Record, arm: str) -> str:
    """Return the kind of an arm; ``chosen``, the arm chosen in each fold, is a kind of its own."""
    return str(arm_kinds(record).get(arm, {}).get("kind", arm))


def primary_arm(record: Record) -> str | None:
    """Return the arm that the claim is about: its name, or ``chosen`` where folds chose different ones."""
    if record.get("claim"):
        return str(record["claim"]["arm"])
    names = chosen_arms(record)
    return CHOSEN if len(names) > 1 else next(iter(names), None)


def chosen_arms(record: Record) -> list[str]:
    """Return the arms that were chosen at the largest data fraction, each once."""
    chosen = (record.get("choice") or {}).get("chosen") or {}
    folds = range((record.get("protocol") or {}).get("folds") or 1)
    found = [chosen.get(Fit(fold, fractions_of(record)[0]).folder) or {} for fold in folds]
    return list(dict.fromkeys(one["arm"] for one in found if one.get("arm")))


def by_primary(record: Record) -> list[Record]:
    """Return the comparisons with those of the primary metric first, otherwise in their order."""
    primary = primary_metric(record)
    return sorted(record.get("comparisons") or [], key=lambda one: bool(one["metric"] != primary))


def against_real(record: Record, metric: str, fraction: float) -> dict[str, Record]:
    """Return the comparison of each arm with ``real`` in one metric, by arm."""
    return {
        one["arm"]: one
        for one in at_fraction(record.get("comparisons"), fraction)
        if one["metric"] == metric and one["baseline"] == "real"
    }


def shown_metrics(record: Record) -> list[str]:
    """Return the metrics in which every arm is compared: the primary metric and AUROC."""
    return list(dict.fromkeys([primary_metric(record), "auroc"]))


def per_patient(record: Record) -> dict[str, dict[str, float]]:
    """Return the primary metric's differences by arm and patient, where there are no intervals."""
    return {
        arm: one["per_patient"]
        for arm, one in against_real(record, primary_metric(record), fractions_of(record)[0]).items()
        if one.get("per_patient") and not one.get("interval")
    }


def claim_rows(record: Record) -> list[tuple[str, dict[str, Record]]]:
    """Return the comparisons of the claim: each rival with its comparison in each metric."""
    claim = record.get("claim")
    if not claim:
        return []
    found = {
        (one["baseline"], one["metric"]): one
        for one in at_fraction(record.get("comparisons"), claim["fraction"])
        if one["arm"] == claim["arm"]
    }
    return [
        (rival, {metric: found[rival, metric] for metric in claim["metrics"] if (rival, metric) in found})
        for rival in claim["rivals"]
    ]


def forest_rows(record: Record) -> list[tuple[str, dict[str, Record]]]:
    """Return every arm at the largest fraction with its comparison to ``real`` in the shown metrics."""
    fraction = fractions_of(record)[0]
    columns = {metric: against_real(record, metric, fraction) for metric in shown_metrics(record)}
    names = dict.fromkeys(name for found in columns.values() for name in found)
    return [
        (name, {metric: found[name] for metric, found in columns.items() if name in found}) for name in names
    ]


def fraction_rows(record: Record) -> list[tuple[str, list[tuple[Any, Record | None]]]]:
    """Return each arm with its mean and its comparison to ``real`` at every fraction, the smallest first.

    Empty before a second fraction has scores.
    """
    metric, smallest_first = primary_metric(record), fractions_of(record)[::-1]
    means = {
        (arm["arm"], arm["fraction"]): arm["metrics"][metric]["mean"] for arm in record.get("arms") or []
    }
    if len({fraction for _, fraction in means}) < 2:
        return []
    compared = {fraction: against_real(record, metric, fraction) for fraction in smallest_first}
    names = [
        name for name in arm_kinds(record) if any((name, fraction) in means for fraction in smallest_first)
    ]
    return [
        (name, [(means.get((name, fraction)), compared[fraction].get(name)) for fraction in smallest_first])
        for name in names
    ]


def segmenter_rows(record: Record) -> list[tuple[Record, dict[str, Record]]]:
    """Return each segmentation arm with its comparison to ``real``, by metric."""
    found = record.get("segmentation") or {}
    return [
        (
            arm,
            {
                one["metric"]: one
                for one in found["comparisons"]
                if (one["arm"], one["fraction"]) == (arm["arm"], arm["fraction"])
            },
        )
        for arm in found.get("arms") or []
    ]


def choices(record: Record) -> Sequence[dict[str, Any]]:
    """Return the choice of each fit, with the name of the fit in words."""
    chosen = (record.get("choice") or {}).get("chosen") or {}
    return [{**found, "fit": fit_name(folder)} for folder, found in chosen.items()]


def fit_name(folder: str) -> str:
    """Return the name of a fit in words: ``fold 0, 50 % of the patients``."""
    fold, _, fraction = folder.partition("-patients-")
    name = fold.replace("fold-", "fold ")
    return f"{name}, {fraction.rstrip('%')} % of the patients" if fraction else name
