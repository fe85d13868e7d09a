"""Progress of long work, told to whoever listens; silent unless the command line installs a reporter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

Update = Callable[[int, str], None]
"""``update(done, note)``: how many units are done in all, and a short note such as the loss."""


class Reporter(Protocol):
    """Shows tasks; the command line installs one that draws bars on standard error."""

    def task(self, description: str, total: int) -> AbstractContextManager[Update]:
        """Open a task of ``total`` units."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Update]:  # noqa: ARG002 - the protocol's names
        """Open a task that is not shown."""
        yield lambda done, note: None  # noqa: ARG005


_reporter: ContextVar[Reporter] = ContextVar("reporter", default=Silent())  # noqa: B039 - Silent has no state


def report_to(reporter: Reporter) -> None:
    """Install the reporter of this process."""
    _reporter.set(reporter)


def task(description: str, total: int) -> AbstractContextManager[Update]:
    """Open a task with the installed reporter."""
    return _reporter.get().task(description, total)
