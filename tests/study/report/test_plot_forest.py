from __future__ import annotations

import numpy as np
import pytest
from tests.render.seen import texts

from nucleosynth.errors import InputError
from nucleosynth.study.report.plot_forest import Difference, forest, patient_differences


def one(arm: str, kind: str, estimate: float, *, primary: bool = False) -> Difference:
    interval = (estimate - 0.03, estimate + 0.03)
    return Difference(arm=arm, kind=kind, estimate=estimate, interval=interval, primary=primary)


ROWS = [one("oversampled", "oversampled", 0.01), one("real+50%", "dose", 0.05, primary=True)]


def test_every_arm_has_a_row_in_every_column() -> None:
    figure = forest({"balanced_accuracy": ROWS, "auroc": ROWS[1:]}, patients=56)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["oversampled", "real+50%"]
    assert [dots.get_offsets()[0].tolist() for dots in left.collections] == [[0.01, 0], [0.05, 1]]
    assert [dots.get_offsets()[0].tolist() for dots in right.collections] == [[0.05, 1]]
    bars = {tuple(np.round(line.get_xdata(), 3)) for line in left.lines}
    assert {(-0.02, 0.04), (0.02, 0.08)} <= bars
    assert "over 56 patients" in texts(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Balanced accuracy", "AUROC"]


def test_the_primary_arm_is_bold_larger_and_shaded() -> None:
    axes = forest({"auroc": ROWS}, patients=56).axes[0]
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    sizes = [dots.get_sizes()[0] for dots in axes.collections]
    assert weights == ["normal", "bold"]
    assert sizes[1] > sizes[0]
    assert len(axes.patches) == 1


def test_every_patient_is_one_dot() -> None:
    values = {"p1": 0.1, "p2": -0.1, "p3": 0.0}
    axes = patient_differences({"a": values, "b": values}, metric="kappa").axes[0]
    assert [sorted(dots.get_offsets()[:, 0]) for dots in axes.collections] == [[-0.1, 0.0, 0.1]] * 2


def test_the_figure_by_patient_names_what_it_shows() -> None:
    each = texts(patient_differences({"a": {"p1": 0.1, "p2": -0.1}}, metric="kappa"))
    assert "n = 2 patients" in each
    assert "arm minus real" in each


def test_nothing_to_show_is_said() -> None:
    for draw in (
        lambda: forest({}, patients=3),
        lambda: forest({"auroc": []}, patients=3),
        lambda: patient_differences({}, metric="auroc"),
    ):
        with pytest.raises(InputError, match="there is no"):
            draw()
