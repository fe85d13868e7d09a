"""Progress on stderr for a person at a terminal; only warnings for a file or a pipe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nucleosynth import progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Bars:
    """Draws one bar per open task; a task within a task is a line below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[progress.Update]:
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


def show_progress() -> None:
    """Send the package's log to stderr: everything and bars to a terminal, only warnings elsewhere."""
    logger = logging.getLogger("nucleosynth")
    for handler in list(logger.handlers):  # a second call in one process replaces the first
        logger.removeHandler(handler)
    logger.propagate = False
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        console = Console(stderr=True)
        logger.addHandler(RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S"))
        logger.setLevel(logging.INFO)
        progress.report_to(Bars(console))
    else:
        plain = logging.StreamHandler(sys.stderr)
        plain.setFormatter(logging.Formatter("nucleosynth: %(levelname)s: %(message)s"))
        logger.addHandler(plain)
        logger.setLevel(logging.WARNING)
        progress.report_to(progress.Silent())


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
