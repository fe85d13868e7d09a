"""The fit context: the inputs of every stage of a fit, and its output folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import Job

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class FitContext:
    """One fit of a study.

    Attributes
    ----------
    patients
        Patients of the fit, by part. A stage that must not read the test patients has a context without them.
    out
        The study's directory: ``tiles``, ``split.json`` and the folders of all jobs.
    also
        TileSets on which the initial weights of generators were trained; searched for copies too.
    """

    study: StudyConfig
    tiles: TileSet
    fit: Fit
    patients: Fold
    out: Path
    device: str = "auto"
    also: tuple[Path, ...] = ()

    @classmethod
    def open(cls, data: Mapping[str, Any], fit: Fit) -> FitContext:
        """Open the context of a job and its fit from the plain data that `plain` returns."""
        out = Path(data["out"])
        return cls(
            StudyConfig.model_validate(data["study"]),
            TileSet.open(out / "tiles"),
            fit,
            Fold.model_validate(data["patients"]),
            out,
            str(data["device"]),
            tuple(map(Path, data["also"])),
        )

    def plain(self, job: Job) -> dict[str, Any]:
        """Return a job of this fit as plain data, for any process with access to the study's directory.

        Only a job that waits for the lock is given the test patients.
        """
        patients = self.patients if job.reads_test else self.patients.model_copy(update={"test": []})
        return {
            "job": job.plain,
            "patients": patients.model_dump(),
            "study": self.study.model_dump(mode="json"),
            "out": str(self.out),
            "device": self.device,
            "also": [str(path) for path in self.also],
        }

    def of(self, fit: Fit, patients: Fold) -> FitContext:
        """Return the context of another fit of the same study."""
        return replace(self, fit=fit, patients=patients)

    def path(self, relative: str) -> Path:
        """Return a path below the study's directory."""
        return self.out / relative

    def seed(self, number: int) -> int:
        """Return the seed of a generator, classifier or segmenter by its number."""
        return self.study.seed * 1000 + number

    def rows(self, part: Part) -> npt.NDArray[np.int64]:
        """Return the rows of the tiles of a part's patients."""
        return self.tiles.rows_of(getattr(self.patients, part))

    def usable_rows(self, part: Part) -> npt.NDArray[np.int64]:
        """Return those rows of a part that have the labels or masks that the study's recipe needs."""
        return self.study.generator.recipe.usable_rows(self.tiles, self.rows(part))

    @cached_property
    def split(self) -> Split:
        """The split of the study."""
        return Split.load(self.out / "split.json")

    @property
    def left_out(self) -> Sequence[str]:
        """Training patients of the fold that the data fraction leaves out."""
        return sorted(set(self.split.folds[self.fit.fold].train) - set(self.patients.train))
