"""Scores on a line between the chance level and the score of real tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nucleosynth.render.wording import is_number, number

Record = Mapping[str, Any]


def agreement_bar(agreement: Record) -> dict[str, Any] | None:
    """Place the agreement of masks between chance level and ceiling; None without a score."""
    test = agreement.get("test") or {}
    values = [("chance level", "chance"), ("synthetic tiles", "iou"), ("real tiles", "ceiling")]
    return _score_bar([(name, test.get(key), key == "iou") for name, key in values], end=1.0)


def fidelity_bar(fidelity: Record) -> dict[str, Any] | None:
    """Place KID next to its real-vs-real references; None without a score."""
    test = fidelity.get("test") or {}
    reference = test.get("real_reference") or {}
    marks = [
        ("synthetic", test.get("kid"), True),
        ("within the training patients", reference.get("within"), False),
        ("other real patients", reference.get("between"), False),
    ]
    return _score_bar(marks, span=test.get("kid_interval"))


def _score_bar(
    marks: Sequence[tuple[str, Any, bool]], *, span: Sequence[float] | None = None, end: float | None = None
) -> dict[str, Any] | None:
    """Place values on a line from 0 to ``end`` (or a little past the largest), in % of its length."""
    known = [(name, value, own) for name, value, own in marks if is_number(value)]
    if not any(own for _, _, own in known):
        return None
    span = span if span and all(map(is_number, span)) else None
    end = end or 1.1 * max(*(value for _, value, _ in known), *(span or [0.0]), 1e-6)

    def place(value: float) -> float:
        return round(100 * min(max(value / end, 0.0), 1.0), 2)

    placed: list[dict[str, Any]] = []
    for name, value, own in sorted(known, key=lambda mark: mark[1]):
        low = not own and any(not mark["own"] and place(value) - mark["place"] < 28 for mark in placed[-2:])
        low = low and not placed[-1].get("low")
        placed.append({"name": name, "text": number(value), "place": place(value), "own": own, "low": low})
    return {"marks": placed, "span": [place(bound) for bound in span] if span else None}
