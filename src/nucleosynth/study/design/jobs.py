"""A job: one piece of a study's work, with its inputs and outputs, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nucleosynth.errors import WorkError
from nucleosynth.study.design.fits import Fit

LOCK = "locked.json"
"""File with the primary arm of every fit; a job that reads it may read the test patients."""


@dataclass(frozen=True)
class Job:
    """One piece of work; its stage names the function that does it.

    Attributes
    ----------
    stage
        Name in `stages.STAGES`.
    folder
        Output folder, relative to the study's directory.
    name
        Name of its arm or filter; empty if it has none.
    generator, seed
        Number of the generator of the fit, and of the classifier or segmenter.
    inputs, outputs
        Paths below the study's directory that must exist before, and that exist after.
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
        """Return the job as plain data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Job:
        """Make a job from what `plain` returned, also after a round trip through JSON."""
        made = cls(**{**data, "fit": Fit(**data["fit"])})
        return replace(made, inputs=tuple(made.inputs), outputs=tuple(made.outputs))

    @property
    def reads_test(self) -> bool:
        """Whether the job may read the test patients."""
        return LOCK in self.inputs


def waves(jobs: Iterable[Job], there: Callable[[str], bool]) -> list[list[Job]]:
    """Sort jobs into waves: the jobs of one wave do not depend on each other.

    Parameters
    ----------
    there
        Whether a path below the study's directory exists already.

    Raises
    ------
    WorkError
        A job reads a path that does not exist and that no job makes.
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
                raise WorkError(f"{job.folder}: needs {lost}, which does not exist and which no job makes")
        if not ready:
            raise WorkError(f"{waiting[0].folder}: waits for {waiting[0].inputs}, which wait for it")
        ordered.append(ready)
        done |= {path for job in ready for path in job.outputs}
        started = set(ready)
        waiting = [job for job in waiting if job not in started]
    return ordered
