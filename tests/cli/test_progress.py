"""Bars for a person at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nucleosynth.cli.progress import Bars


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
