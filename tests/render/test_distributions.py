from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

from nucleosynth.errors import InputError
from nucleosynth.render.distributions import Panel, distributions


def panel(real, synthetic, *, distance: float | None = 0.3) -> Panel:
    return Panel(
        name="Area", unit="µm²", real=np.asarray(real, float), synthetic=np.asarray(synthetic, float),
        distance=distance, reference=0.5,
    )  # fmt: skip


VALUES = np.random.default_rng(0).normal(10, 2, 2000)


def test_each_tile_group_has_its_own_line_style() -> None:
    (axes,) = distributions([panel(VALUES, VALUES + 4)], title="t").axes
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert [line.get_label() for line in curves] == ["real", "synthetic"]
    assert len({line.get_color() for line in curves}) == len({line.get_linestyle() for line in curves}) == 2
    for line, values in zip(curves, (VALUES, VALUES + 4), strict=True):
        x, y = line.get_data()
        assert trapezoid(y, x) == pytest.approx(1, abs=0.03)
        assert x[y.argmax()] == pytest.approx(np.median(values), abs=0.5)


def test_a_density_stays_within_the_bounds_of_its_values() -> None:
    shares = np.random.default_rng(0).uniform(0, 1, 3000)
    (axes,) = distributions([panel(shares, shares)], title="t").axes
    x, y = axes.lines[0].get_data()
    assert x.min() >= 0
    assert x.max() <= 1
    assert y == pytest.approx(np.ones(len(y)), abs=0.15)  # no dip where the values end


def test_panels_name_measure_unit_and_distance() -> None:
    figure = distributions([panel(VALUES, VALUES)] * 5, title="Nuclei of grade 1")
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 5
    for axes in shown:
        assert (axes.get_title(loc="left"), axes.get_xlabel()) == ("Area", "µm²")
        assert axes.texts[0].get_text() == "0.30 SD apart; real patients 0.50"
    assert figure.get_suptitle() == "Nuclei of grade 1"


@pytest.mark.parametrize("few", [[], [3.0], [2.0, 2.0, 2.0]])
def test_few_or_equal_values_are_no_error(few, tmp_path) -> None:
    figure = distributions([panel(few, VALUES, distance=None), panel(few, few, distance=None)], title="t")
    figure.savefig(tmp_path / "few.png")
    assert "2\N{NARROW NO-BREAK SPACE}000 synthetic" in figure.axes[0].texts[0].get_text()


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(InputError, match="there is no measure"):
        distributions([], title="t")
