"""Engines that run jobs. The local engine runs them one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

Job = Mapping[str, Any]
JobFunction = Callable[[Job], object]


class Engine(Protocol):
    """A runner of independent jobs: ``fn`` is importable and a job plain data, for any process."""

    def map(self, fn: JobFunction, jobs: Iterable[Job]) -> Iterator[tuple[Job, object | Exception]]:
        """Yield ``(job, result)``, or ``(job, error)`` for a job that failed, as jobs end."""
        ...


class LocalEngine:
    """An engine that runs one job after the other in this process."""

    def map(self, fn: JobFunction, jobs: Iterable[Job]) -> Iterator[tuple[Job, object | Exception]]:
        """Yield ``(job, result or error)``; an error of one job does not stop the others."""
        for job in jobs:
            try:
                yield job, fn(job)
            except Exception as error:
                yield job, error
