"""A job: one piece of a study's work, with what it reads and what it makes, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nucleosynth.errors import WorkError
from nucleosynth.study.design.fits import Fit

LOCK = "locked.json"
"""The primary arm of every fit; a job that reads it may read the test patients."""


@dataclass(frozen=True)
class Job:
    """One piece of work; which function does it follows from its stage.

    Attributes
    ----------
    stage
        Name in `stages.STAGES`.
    folder
        Where it writes, relative to the study's directory.
    name
        Of its arm, or of its filter; empty where it has none.
    generator, seed
        Which generator of the fit, and which classifier or segmenter.
    inputs, outputs
        Paths below the study's directory that must be there before, and that are there after.
    """

    stage: str
    fit: Fit
    folder: str
    name: str = ""
    generator: int = 0
    seed: int = 0
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Job:
        """Read what `plain` returns, also after JSON."""
        made = cls(**{**data, "fit": Fit(**data["fit"])})
        return replace(made, inputs=tuple(made.inputs), outputs=tuple(made.outputs))

    @property
    def reads_test(self) -> bool:
        """Whether it may read the test patients."""
        return LOCK in self.inputs


def waves(jobs: Iterable[Job], there: Callable[[str], bool]) -> list[list[Job]]:
    """Order jobs into waves: the jobs of one wave do not depend on each other.

    Parameters
    ----------
    there
        Whether a path below the study's directory exists already.

    Raises
    ------
    WorkError
        A job reads what is not there and what no job makes.
    """
    waiting = list(jobs)
    made = {path for job in waiting for path in job.outputs}
    done: set[str] = set()
    ordered: list[list[Job]] = []
    while waiting:
        ready = [job for job in waiting if all(path in done or path not in made for path in job.inputs)]
        for job in ready:
            lost = next((path for path in job.inputs if path not in done and not there(path)), None)
            if lost is not None:
                raise WorkError(f"{job.folder}: needs {lost}, which is not there and which nothing makes")
        if not ready:
            raise WorkError(f"{waiting[0].folder}: waits for {waiting[0].inputs}, which wait for it")
        ordered.append(ready)
        done |= {path for job in ready for path in job.outputs}
        waiting = [job for job in waiting if job not in ready]
    return ordered
