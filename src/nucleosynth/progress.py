"""Progress of long work, reported to whoever listens: bars at a terminal or in a notebook, else nothing.

The library only opens tasks. In a notebook bars are drawn without being asked for; elsewhere the command
line, or `show_progress`, installs them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from nucleosynth.arguments import as_flag

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Update = Callable[[int, str], None]
"""``update(done, note)``: how many units are done in all, and a short note such as the loss."""
REDRAW = 0.2
"""Seconds between two pictures of the same bar in a notebook."""


class Reporter(Protocol):
    """Shows tasks."""

    def task(self, description: str, total: int) -> AbstractContextManager[Update]:
        """Open a task of ``total`` units."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Update]:  # noqa: ARG002 - the protocol's names
        """Open a task that is not shown."""
        yield lambda done, note: None  # noqa: ARG005


class Bars:
    """Draws one bar per open task at a terminal; a task within a task is a line below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Update]:
        """Open a bar of ``total`` units; the outermost one starts and ends the drawing."""
        outermost = self._shown is None
        bars = self._shown = self._shown or _bars(self._console)
        if outermost:
            bars.start()
        line = bars.add_task(description, total=total, note="")
        try:
            yield lambda done, note: bars.update(line, completed=done, note=note)
        finally:
            if outermost:
                bars.stop()  # draws once more and leaves the line on the screen
                self._shown = None
            else:
                bars.refresh()
                bars.remove_task(line)


class NotebookBars:
    """Draws one bar per open task below a notebook's cell; needs no widgets.

    Parameters
    ----------
    display
        ``IPython.display.display``, or what takes its arguments.
    """

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None
        self._lines: list[dict[str, Any]] = []
        self._drawn = 0.0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Update]:
        """Open a bar of ``total`` units; the outermost one stays when it has ended."""
        own = {"name": description, "total": total, "done": 0, "note": "", "began": time.monotonic()}
        self._lines.append(own)
        if self._handle is None:
            self._handle = self._display(_Html(self._html()), display_id=True)

        def update(done: int, note: str) -> None:
            own.update(done=done, note=note)
            if time.monotonic() - self._drawn > REDRAW:
                self._draw()

        try:
            yield update
        finally:
            self._draw()
            self._lines.remove(own)
            if not self._lines:
                self._handle = None

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            self._handle.update(_Html(self._html()))

    def _html(self) -> str:
        style = "font-family:system-ui,sans-serif;font-size:13px"
        return "".join(f'<div style="{style}">{_line_html(**line)}</div>' for line in self._lines)


def _line_html(*, name: str, total: int, done: int, note: str, began: float) -> str:
    took = time.monotonic() - began
    bar = f'<progress max="{max(1, total)}" value="{done}"></progress>'
    return f"{escape(name)} {bar} {done}/{total} · {took:.0f} s {escape(note)}"


class _Html:
    """A piece of HTML, as notebooks ask objects for it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


_installed: Reporter | None = None


def report_to(reporter: Reporter) -> None:
    """Install the reporter of this process."""
    global _installed  # noqa: PLW0603 - one process has one screen
    _installed = reporter


def show_progress(shown: bool = True) -> None:
    """Show bars of long work from now on, or none.

    In a notebook they are shown anyway; in a script or at Python's prompt this shows them on standard error.

    Parameters
    ----------
    shown
        False: show none, also in a notebook.

    Raises
    ------
    InputError
        ``shown`` is neither True nor False.
    """
    if not as_flag(shown, "shown"):
        report_to(Silent())
        return
    in_notebook = _notebook_bars()
    if in_notebook is not None:
        report_to(in_notebook)
        return
    from rich.console import Console

    report_to(Bars(Console(stderr=True)))


def task(description: str, total: int) -> AbstractContextManager[Update]:
    """Open a task with the installed reporter."""
    if _installed is None:
        report_to(_notebook_bars() or Silent())
    assert _installed is not None
    return _installed.task(description, total)


def _notebook_bars() -> NotebookBars | None:
    """Return bars for the notebook that runs this, None where none does; IPython is never imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display  # type: ignore[import-not-found]  # there where a notebook runs

    return NotebookBars(display)


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=console)
