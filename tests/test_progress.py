"""Bars for a person at a terminal or in a notebook."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from nucleosynth import progress
from nucleosynth.progress import Bars, NotebookBars, Silent


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def test_bars_show_what_is_done_and_the_note(screen):
    bars = Bars(screen)
    with bars.task("training", 40) as update:
        update(7, "loss 0.25")
    text = screen.file.getvalue()
    assert "training" in text
    assert "7/40" in text
    assert "loss 0.25" in text


def test_a_task_within_a_task_and_a_second_one_after_it(screen):
    bars = Bars(screen)
    with bars.task("study", 2) as outer, bars.task("sampling", 5) as inner:
        inner(5, "")
        outer(1, "")
    with bars.task("report", 1) as update:
        update(1, "")
    text = screen.file.getvalue()
    assert all(piece in text for piece in ("5/5", "1/2", "report", "1/1"))


def test_an_error_closes_the_bars_and_passes_through(screen):
    bars = Bars(screen)
    with pytest.raises(ValueError, match="broken"), bars.task("training", 3):
        raise ValueError("broken")
    with bars.task("again", 3) as update:
        update(3, "")
    assert "again" in screen.file.getvalue()
    assert "3/3" in screen.file.getvalue()


class Shown:
    """Stands for `IPython.display.display`: keeps what is drawn."""

    def __init__(self) -> None:
        self.pictures: list[str] = []

    def __call__(self, piece, *, display_id):
        assert display_id is True
        self.update(piece)
        return self

    def update(self, piece) -> None:
        self.pictures.append(piece._repr_html_())


def test_a_notebook_shows_bars_below_the_cell(monkeypatch):
    monkeypatch.setattr(progress, "REDRAW", -1)
    shown = Shown()
    bars = NotebookBars(shown)
    with bars.task("training <1>", 40) as update, bars.task("preview", 2) as inner:
        update(7, "loss 0.25")
        inner(2, "")
    assert any("7/40" in text and "loss 0.25" in text and "2/2" in text for text in shown.pictures)
    assert "preview" not in shown.pictures[-1]
    assert "training &lt;1&gt;" in shown.pictures[-1]
    with bars.task("again", 1):
        pass
    assert "training" not in shown.pictures[-1]


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(progress, "_installed", None)


def notebook(monkeypatch, kernel: object) -> Shown:
    shown = Shown()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=kernel)
    display.display = shown
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


@pytest.mark.usefixtures("fresh")
def test_in_a_notebook_bars_come_by_themselves(monkeypatch):
    shown = notebook(monkeypatch, kernel=object())
    with progress.task("training", 3) as update:
        update(3, "")
    assert "3/3" in shown.pictures[-1]
    progress.show_progress(False)
    with progress.task("other", 3):
        pass
    assert "other" not in shown.pictures[-1]


@pytest.mark.usefixtures("fresh")
def test_elsewhere_they_come_when_asked_for(monkeypatch, capsys):
    shown = notebook(monkeypatch, kernel=None)
    with progress.task("quiet", 3):
        pass
    assert isinstance(progress._installed, Silent)
    progress.show_progress()
    assert isinstance(progress._installed, Bars)
    with progress.task("loud", 3) as update:
        update(3, "")
    out, err = capsys.readouterr()
    assert not shown.pictures
    assert "quiet" not in err
    assert not out
