from __future__ import annotations

import numpy as np
import pytest
from tests.render.seen import texts

from nucleosynth.errors import InputError
from nucleosynth.render.figure import WIDTH
from nucleosynth.study.design.arms import ArmsConfig
from nucleosynth.study.report.plot_arms import OTHER, STYLES, ArmPoint, data_fractions, dose_response


def point(arm: str, kind: str, dose: float | int | None, *values: float, **compared) -> ArmPoint:
    return ArmPoint(arm=arm, kind=kind, dose=dose, values=values, **compared)


SHARES = [
    point("real", "real", None, 0.70, 0.72),
    point("real+25%", "dose", 0.25, 0.71, 0.73, difference=0.01, interval=(-0.01, 0.03)),
    point("real+50%", "dose", 0.5, 0.74, 0.78, difference=0.05, interval=(0.02, 0.08)),
    point("synthetic only", "synthetic-only", None, 0.6, 0.62, difference=-0.1, interval=(-0.2, -0.02)),
]


def test_doses_stand_at_their_share_and_the_line_joins_means() -> None:
    scores, differences = dose_response(SHARES, metric="balanced_accuracy", patients=56).axes
    x, y = scores.lines[0].get_data()
    assert np.allclose(x, [0, 25, 50])
    assert np.allclose(y, [0.71, 0.72, 0.76])
    drawn = {tuple(np.round(line.get_ydata(), 3)) for line in differences.lines}
    assert {(-0.01, 0.03), (0.02, 0.08), (-0.2, -0.02)} <= drawn


def test_without_intervals_no_difference_is_drawn() -> None:
    bare = [point(p.arm, p.kind, p.dose, *p.values) for p in SHARES]
    assert len(dose_response(bare, metric="auroc", patients=7).axes) == 1


@pytest.mark.parametrize(
    ("doses", "label", "places"),
    [
        ((0.25, 0.5), "fraction", [0, 25, 50]),
        ((1000, 4000), "added", [0, 1000, 4000]),
        ((0.5, 400), "arm", [0, 1, 2]),
    ],
)
def test_the_axis_says_what_a_dose_is(doses, label, places) -> None:
    points = [SHARES[0], *(point(f"d{dose}", "dose", dose, 0.7, 0.8) for dose in doses)]
    axes = dose_response(points, metric="auroc", patients=20).axes[0]
    assert label in axes.get_xlabel()
    assert np.allclose(axes.lines[0].get_xdata(), places)


def test_the_axis_names_what_is_compared() -> None:
    seen = texts(dose_response(SHARES, metric="balanced_accuracy", patients=56))
    for words in ("n = 56 test patients", "(%)", "balanced accuracy", "95 % interval", "difference to real"):
        assert words in seen


def test_arms_about_another_question_are_left_out_of_the_doses() -> None:
    others = [point(kind, kind, 0.5, 0.2, 0.2) for kind in ("shuffled", "pretrained", "rare-only")]
    scores = dose_response([*SHARES, *others], metric="auroc", patients=9).axes[0]
    assert scores.get_ylim()[0] > 0.5


def test_every_kind_of_arm_looks_unlike_any_other() -> None:
    assert len({*STYLES.values(), OTHER}) == len(STYLES) + 1
    controls = (*ArmsConfig.model_fields["controls"].annotation.__args__[0].__args__, "dose", "filtered")
    assert set(controls) == set(STYLES)


def at(share: float, arm: str, kind: str, value: float, **compared) -> ArmPoint:
    return ArmPoint(arm=arm, kind=kind, fraction=share, values=(value, value), **compared)


FRACTIONS = [
    at(1.0, "real", "real", 0.8),
    at(0.5, "real", "real", 0.7),
    at(1.0, "real+25%", "dose", 0.82, difference=0.02, interval=(-0.01, 0.05)),
    at(0.5, "real+25%", "dose", 0.76, difference=0.06, interval=(0.02, 0.1)),
    at(0.5, "real+50%", "dose", 0.78, difference=0.08, interval=(0.04, 0.12)),
    at(0.5, "held-back", "held-back", 0.79, difference=0.09, interval=(0.05, 0.13)),
]


def test_arms_stand_at_their_data_fraction() -> None:
    scores, differences = data_fractions(FRACTIONS, metric="auroc", patients=9).axes
    lines = [tuple(map(tuple, line.get_data())) for line in scores.lines]
    assert lines[0] == ((50, 100), (0.7, 0.8))
    assert np.allclose(lines[1], ((50, 100), (0.76, 0.82)))
    bars = [line.get_data() for line in differences.lines if len(set(line.get_xdata())) == 1]
    assert len(bars) == 4
    at_half = [x[0] for x, _ in bars if x[0] < 75]
    assert len(set(at_half)) == 3  # side by side, not over each other
    assert np.mean(at_half) == pytest.approx(50)


def test_two_doses_differ_without_colour() -> None:
    scores = data_fractions(FRACTIONS, metric="auroc", patients=9).axes[0]
    marks = {dots.get_label(): dots.get_paths()[0].vertices.tobytes() for dots in scores.collections}
    assert marks["real+25%"] != marks["real+50%"]


def test_figures_fit_half_a_page() -> None:
    for figure in (
        dose_response(SHARES, metric="auroc", patients=9),
        data_fractions(FRACTIONS, metric="auroc", patients=9),
    ):
        assert figure.get_size_inches()[0] == WIDTH


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(InputError, match="there is no dose"):
        dose_response([SHARES[0]], metric="auroc", patients=3)
    with pytest.raises(InputError, match="there is no second fraction"):
        data_fractions(SHARES, metric="auroc", patients=3)
