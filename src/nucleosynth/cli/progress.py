"""Progress on stderr for a person at a terminal; only warnings for a file or a pipe."""

from __future__ import annotations

import logging
import sys

from nucleosynth import progress


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
        progress.report_to(progress.Bars(console))
    else:
        plain = logging.StreamHandler(sys.stderr)
        plain.setFormatter(logging.Formatter("nucleosynth: %(levelname)s: %(message)s"))
        logger.addHandler(plain)
        logger.setLevel(logging.WARNING)
        progress.report_to(progress.Silent())
