from __future__ import annotations

import math

import pytest

from nucleosynth.render import wording


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.number(-0.12345), "−0.123"),
        (wording.number(math.nan), "–"),
        (wording.number(None), "–"),
        (wording.signed(0.05), "+0.050"),
        (wording.interval([-0.01, 0.02], sign=True), "−0.010 to +0.020"),
        (wording.interval(None), "–"),
        (wording.p_value(0.0004), "<\u202f0.001"),
        (wording.p_value(0.04321), "0.043"),
        (wording.p_value(None), "–"),
        (wording.count(1234567), "1\u202f234\u202f567"),
        (wording.percent(0.256), "26\u202f%"),
        (wording.duration(90), "90\u202fs"),
        (wording.duration(1800), "30\u202fmin"),
        (wording.duration(9000), "2.5\u202fh"),
        (wording.elapsed("2025-01-01T10:00:00Z", "2025-01-01T10:30:00Z"), "30\u202fmin"),
        (wording.elapsed("soon", None), "–"),
        (wording.moment("2025-01-01T10:00:59Z"), "2025-01-01 10:00"),
        (wording.metric_name("balanced_accuracy"), "balanced accuracy"),
        (wording.sentence_case("AUROC of arms"), "AUROC of arms"),
        (
            wording.setting({"model": "b0", "steps": 0, "on": True, "x": None}),
            "model b0, steps 0, on yes, x –",
        ),
        (wording.setting({}), "–"),
    ],
)
def test_values_are_written_for_a_reader(written: str, expected: str) -> None:
    assert written == expected
