"""How values are written for a reader: one rule for pages and plots."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"

METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "kappa": "kappa",
    "auroc": "AUROC",
    "dice": "Dice",
    "iou": "IoU",
    "pq": "PQ",
    "aji": "AJI",
    "f1": "F1",
    "area_um2": "area",
    "diameter_um": "diameter",
    "irregularity": "contour irregularity",
    "haematoxylin_od": "haematoxylin density",
    "chromatin_cv": "chromatin heterogeneity",
    "neighbour_um": "nearest neighbour",
    "density_per_mm2": "density",
    "size_ratio": "size ratio to benign",
    "kid": "KID",
    "fid": "FID",
    "ece": "calibration error",
    "brier": "Brier score",
}


def is_number(value: Any) -> bool:
    """Tell whether a value can be written as a number: neither missing, nor NaN, infinite or a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals; a dash where there is none."""
    if not is_number(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: Any, digits: int = 3) -> str:
    """Write a difference with its sign."""
    if not is_number(value):
        return DASH
    return f"{value:+.{digits}f}".replace("-", MINUS)


def scale_text(mpp: float | None) -> str:
    """Write the scale of tiles in µm/px; says so where it is unknown."""
    return "scale unknown" if mpp is None else f"{mpp:g} µm/px"


def interval(bounds: Any, digits: int = 3, *, sign: bool = False) -> str:
    """Write an interval as ``low to high``; a dash where there is none."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(map(is_number, bounds)):
        return DASH
    write = signed if sign else number
    return f"{write(bounds[0], digits)} to {write(bounds[1], digits)}"


def p_value(value: Any) -> str:
    """Write a p-value with three decimals; what is smaller as such."""
    return f"<{THIN_SPACE}0.001" if is_number(value) and value < 0.001 else number(value)


def count(value: Any) -> str:
    """Write a whole number with its thousands set apart by a narrow space."""
    if not is_number(value):
        return DASH
    return f"{round(value):,}".replace(",", THIN_SPACE).replace("-", MINUS)


def percent(value: Any, digits: int = 0) -> str:
    """Write a share in [0, 1] as a percentage."""
    return f"{100 * value:.{digits}f}{THIN_SPACE}%" if is_number(value) else DASH


def duration(seconds: Any) -> str:
    """Write seconds in the largest unit that fits: ``42 s``, ``12 min``, ``3.4 h``."""
    if not is_number(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.0f}{THIN_SPACE}s"
    return f"{seconds / 60:.0f}{THIN_SPACE}min" if seconds < 7200 else f"{seconds / 3600:.1f}{THIN_SPACE}h"


def elapsed(start: Any, end: Any) -> str:
    """Write the time between two ISO 8601 times; a dash if one is missing or unreadable."""
    try:
        return duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    except (TypeError, ValueError):
        return DASH


def moment(time: Any) -> str:
    """Write an ISO 8601 time as day and minute; the text itself if it is not one."""
    try:
        return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M")
    except (TypeError, ValueError):
        return str(time or DASH)


def metric_name(key: str) -> str:
    """Return the name of a metric as a reader knows it."""
    return METRIC_NAMES.get(key, key.replace("_", " "))


def sentence_case(text: str) -> str:
    """Raise the first letter and leave the others: ``AUROC`` stays as it is."""
    return text[:1].upper() + text[1:]


def setting(value: Any) -> str:
    """Write a value of a settings table: nested settings on one line, a dash for nothing."""
    if value in (None, "", [], (), {}):
        return DASH
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {setting(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(setting, value))
        case float():
            return f"{value:.4g}".replace("-", MINUS)
    return str(value)
