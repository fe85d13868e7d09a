from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.render.seen import texts

from nucleosynth.errors import InputError
from nucleosynth.render.figure import save_figure, svg_data_uri
from nucleosynth.render.tile_rows import MARGIN, tile_rows
from nucleosynth.study.report import plot_classification as plots


def test_figures_name_axes_and_n() -> None:
    assert "training step" in texts(plots.loss_curve([(1, 0.5), (2, 0.4)]))
    confusion = texts(plots.confusion({"real": [[3, 1], [0, 4]]}, ["low", "high"]))
    for words in ("predicted class", "true class", "3\n75 %", "4\n100 %", "low", "high"):
        assert words in confusion


BINS = [{"predicted": 0.2, "observed": 0.1, "n": 30}, {"predicted": 0.8, "observed": 0.6, "n": 10}]


def test_a_bin_stands_where_it_was_predicted_and_came_true() -> None:
    axes = plots.reliability({"real": ("real", BINS), "real+50%": ("dose", BINS)}).axes[0]
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [[[0.2, 0.1], [0.8, 0.6]]] * 2
    many, few = axes.collections[0].get_sizes()
    assert many > few
    assert len({tuple(dots.get_facecolor()[0]) for dots in axes.collections}) == 2


def test_an_empty_bin_is_left_out() -> None:
    bins = [*BINS, {"predicted": None, "observed": None, "n": 0}]
    axes = plots.reliability({"real": ("real", bins)}).axes[0]
    assert len(axes.collections[0].get_offsets()) == 2


def test_a_measure_has_its_reference_of_real_patients() -> None:
    axes = plots.measures_apart({"area_um2": (0.3, 0.5), "irregularity": (0.2, None)}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5]
    assert [dots.get_offsets()[0].tolist() for dots in axes.collections] == [[0.3, 0], [0.2, 1]]
    assert "Contour irregularity" in texts(axes.figure)


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
        lambda: plots.reliability({"real": ("real", [])}),
        lambda: plots.measures_apart({}),
        lambda: plots.confusion({}, ["a"]),
        lambda: plots.loss_curve([]),
        lambda: tile_rows({}, title="t"),
    ):
        with pytest.raises(InputError, match="there is no"):
            draw()
