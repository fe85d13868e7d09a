from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nucleosynth.errors import InputError
from nucleosynth.render import plots
from nucleosynth.render.figure import save_figure, svg_data_uri
from nucleosynth.render.plots import ArmPoint
from nucleosynth.render.tile_rows import MARGIN, tile_rows


def point(arm: str, kind: str, dose: float | int | None, *values: float, **compared) -> ArmPoint:
    return ArmPoint(arm=arm, kind=kind, dose=dose, values=values, **compared)


SHARES = [
    point("real", "real", None, 0.70, 0.72),
    point("oversampled", "oversampled", None, 0.71, 0.73, difference=0.01, interval=(-0.01, 0.03)),
    point("real+50%", "dose", 0.5, 0.74, 0.78, difference=0.05, interval=(0.02, 0.08)),
    point("synthetic only", "synthetic-only", None, 0.6, 0.62, difference=-0.1, interval=(-0.2, -0.02)),
]


def texts(figure) -> str:
    parts = [figure.get_supxlabel(), figure.get_supylabel(), figure.get_suptitle()]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        parts += [text.get_text() for text in axes.texts]
        parts += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return "\n".join(parts)


def test_doses_stand_at_their_share_and_the_line_joins_means() -> None:
    scores, forest = plots.dose_response(SHARES, metric="balanced_accuracy", patients=56).axes
    x, y = scores.lines[0].get_data()
    assert np.allclose(x, [0, 50])
    assert np.allclose(y, [0.71, 0.76])
    drawn = {tuple(np.round(line.get_xdata(), 3)) for line in forest.lines}
    assert {(-0.01, 0.03), (0.02, 0.08), (-0.2, -0.02)} <= drawn


def test_without_intervals_no_difference_is_drawn() -> None:
    bare = [point(p.arm, p.kind, p.dose, *p.values) for p in SHARES]
    assert len(plots.dose_response(bare, metric="auroc", patients=7).axes) == 1


@pytest.mark.parametrize(
    ("doses", "label", "places"),
    [
        ((0.25, 0.5), "share", [0, 25, 50]),
        ((1000, 4000), "added", [0, 1000, 4000]),
        ((0.5, 400), "arm", [0, 1, 2]),
    ],
)
def test_the_axis_says_what_a_dose_is(doses, label, places) -> None:
    points = [SHARES[0], *(point(f"d{dose}", "dose", dose, 0.7, 0.8) for dose in doses)]
    axes = plots.dose_response(points, metric="auroc", patients=20).axes[0]
    assert label in axes.get_xlabel()
    assert np.allclose(axes.lines[0].get_xdata(), places)


def test_figures_name_axes_and_n() -> None:
    dose = texts(plots.dose_response(SHARES, metric="balanced_accuracy", patients=56))
    for words in ("n = 56 patients", "(%)", "balanced accuracy", "95 % interval"):
        assert words in dose
    each = texts(plots.patient_differences({"a": {"p1": 0.1, "p2": -0.1}}, metric="kappa"))
    assert "n = 2 patients" in each
    assert "arm minus real" in each
    assert "training step" in texts(plots.loss_curve([(1, 0.5), (2, 0.4)]))
    confusion = texts(plots.confusion({"real": [[3, 1], [0, 4]]}, ["low", "high"]))
    for words in ("predicted class", "true class", "3\n75 %", "4\n100 %", "low", "high"):
        assert words in confusion


def test_every_patient_is_one_dot() -> None:
    values = {"p1": 0.1, "p2": -0.1, "p3": 0.0}
    axes = plots.patient_differences({"a": values, "b": values}, metric="kappa").axes[0]
    assert [sorted(dots.get_offsets()[:, 0]) for dots in axes.collections] == [[-0.1, 0.0, 0.1]] * 2


def test_tile_rows_show_every_pixel_unchanged(tmp_path) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    path = save_figure(tile_rows({"made": tiles}, title="t"), tmp_path / "rows.png")
    with Image.open(path) as file:
        picture = np.asarray(file.convert("RGB"))
    wanted = tiles[0].repeat(4, axis=0).repeat(4, axis=1)
    found = np.lib.stride_tricks.sliding_window_view(picture, (128, 128, 3))[:, MARGIN, 0]
    assert (found == wanted).all(axis=(1, 2, 3)).sum() == 1


def test_names_are_never_read_as_formulas() -> None:
    figure = plots.confusion({"$\\frac{": [[1, 0], [0, 1]]}, ["$x", "<b>&y$"])
    assert svg_data_uri(figure).startswith("data:image/svg+xml;base64,")


def test_the_same_figure_has_the_same_bytes() -> None:
    first, second = (svg_data_uri(plots.loss_curve([(1, 0.5), (2, 0.4)])) for _ in range(2))
    assert first == second


def test_plots_leave_the_users_style_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.loss_curve([(1, 0.5), (2, 0.4)]).savefig(io.BytesIO())
    assert dict(mpl.rcParams) == before


def test_nothing_to_show_is_said() -> None:
    for draw in (
        lambda: plots.dose_response([], metric="auroc", patients=3),
        lambda: plots.patient_differences({}, metric="auroc"),
        lambda: plots.confusion({}, ["a"]),
        lambda: plots.loss_curve([]),
        lambda: tile_rows({}, title="t"),
    ):
        with pytest.raises(InputError, match="there is no"):
            draw()
