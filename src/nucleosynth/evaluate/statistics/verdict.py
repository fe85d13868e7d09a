"""Verdicts from intervals: one comparison in words, many comparisons at once, the claim of help.

All functions work on plain data, so that verdicts can be derived again from a stored record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.bootstrap import Interval

LOWER_IS_BETTER = frozenset({"kid", "fid", "loss"})


def verdict(lo: float | None, hi: float | None, metric: str) -> str:
    """Return in words what an interval of a difference shows.

    Parameters
    ----------
    lo, hi : float or None
        Bounds of `treatment - control`.
    metric : str
        Its name decides which direction is good: lower for `kid`, `fid` and `loss`, higher for all others.

    Returns
    -------
    str
        "helps", "harms", "no difference shown: ..." or "too few patients for an interval claim".
    """
    if lo is None or hi is None or not np.isfinite([lo, hi]).all():
        return "too few patients for an interval claim"
    if lo <= 0 <= hi:
        return f"no difference shown: the interval from {_signed(lo)} to {_signed(hi)} includes zero"
    return "helps" if (lo > 0) != (metric in LOWER_IS_BETTER) else "harms"


def difference_record(arm: str, baseline: str, metric: str, found: Interval) -> dict[str, Any]:
    """Return a difference of two arms as plain data for a report."""
    return {
        "arm": arm,
        "baseline": baseline,
        "metric": metric,
        "difference": found.estimate,
        "interval": None if found.lo is None else [found.lo, found.hi],
        "p_value": found.p_value,
        "n_patients": found.n_patients,
        "n_seeds": found.n_seeds,
        "n_generators": found.n_generators,
        "undefined": found.undefined,
        "per_patient": dict(found.per_patient),
        "verdict": verdict(found.lo, found.hi, metric),
    }


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adjust the p-values of comparisons that are read together, to control any false finding.

    Parameters
    ----------
    p_values : mapping of str to float or None
        By comparison, in [0, 1]. None (no interval) stays None and is not counted.

    Returns
    -------
    dict
        Adjusted p-values of the same comparisons, in the same order; none is below the original.

    Raises
    ------
    InputError
        A p-value is outside [0, 1]; the message names the comparison.

    Notes
    -----
    Source: Holm 1979, "A simple sequentially rejective multiple test procedure"; valid for any
    dependence between the comparisons, such as those with a common control.
    """
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    known = {name: p for name, p in p_values.items() if p is not None}
    for name, p in known.items():
        if not 0 <= p <= 1:
            raise InputError(f"p-value of {name}: {p}; expected a number in [0, 1], or None without one")
    adjusted = multipletests(list(known.values()), method="holm")[1] if known else []
    by_name = dict(zip(known, map(float, adjusted), strict=True))
    return {name: by_name.get(name) for name in p_values}


def with_holm(comparisons: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return comparisons that are read together, each with its adjusted ``p_value`` as ``p_holm``."""
    adjusted = holm({str(index): one["p_value"] for index, one in enumerate(comparisons)})
    return [{**one, "p_holm": p} for one, p in zip(comparisons, adjusted.values(), strict=True)]


def beats_all(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Decide whether an arm is better than every control in every metric that the claim needs.

    Each interval must exclude zero in the direction of a benefit. As all of them must, none needs a
    correction: the claim is false at most as often as its weakest part (intersection-union; Berger 1982,
    "Multiparameter hypothesis testing and acceptance sampling").

    Parameters
    ----------
    comparisons : sequence of mappings
        One per control and metric: `baseline`, `metric` and `interval`, the bounds of `arm - baseline` or
        None.

    Returns
    -------
    dict
        `holds` (bool; False without any comparison) and `weakest`: `baseline`, `metric` and `bound`, the less
        favourable end of the interval, of the least favourable comparison. One without an interval (`bound`
        None) is less favourable than any other. None without comparisons.
    """
    margins = [_margin(comparison) for comparison in comparisons]
    if not margins:
        return {"holds": False, "weakest": None}
    least = int(np.argmin(margins))
    weakest, margin = comparisons[least], margins[least]
    lower_is_better = weakest["metric"] in LOWER_IS_BETTER
    bound = None if not np.isfinite(margin) else -margin if lower_is_better else margin
    named = {"baseline": weakest["baseline"], "metric": weakest["metric"], "bound": bound}
    return {"holds": bool(margin > 0), "weakest": named}


def _margin(comparison: Mapping[str, Any]) -> float:
    """Return by how much the less favourable bound shows a benefit; minus infinity without an interval."""
    bounds = comparison["interval"]
    if bounds is None or not np.isfinite(np.asarray(bounds, dtype=np.float64)).all():
        return -np.inf
    return float(-bounds[1] if comparison["metric"] in LOWER_IS_BETTER else bounds[0])


def _signed(value: float) -> str:
    for digits in range(2, 6):
        text = f"{value:+.{digits}f}"
        if value == 0 or float(text) != 0:  # a bound that is not zero must not read as zero
            break
    return text if float(text) != 0 else "0"
