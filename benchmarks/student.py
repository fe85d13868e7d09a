"""B4: a student that needs few passes, compared with its teacher in quality and time.

    python -m benchmarks.student TEACHER_RUN STUDENT_RUN

reads TNBC below NUCLEOSYNTH_DATA and the generators of two runs, one of `nucleosynth train` (or of
`benchmarks.training_quality`) on the tiles of studies/tnbc.yaml and one of `nucleosynth distill` from it, and
writes benchmarks/results/student.json. Tiles are kept in runs/benchmark-quality; the same command continues
there. Both are drawn for the same masks and stains; times are measured in turn. ``--part test`` is for after
all choices.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cyclopts
import torch

from benchmarks.contenders import OwnModel
from benchmarks.quality import BATCH, Part, TileEvaluator
from benchmarks.sampling_speed import CPU, REPEATS
from benchmarks.studies import HOME, open_tnbc
from benchmarks.timing import Work, alternate
from benchmarks.training_quality import slug
from nucleosynth.data.split import require_no_leakage
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment
from nucleosynth.training.devices import inference_precision
from nucleosynth.training.metrics import trained_seconds

RESULT = HOME / "benchmarks" / "results" / "student.json"
SHOWN = 48
FEW = 2
"""Passes of the teacher in addition to its own number, to show the effect of the tuning."""


@dataclass(frozen=True)
class Way:
    """One of the two, at a number of passes."""

    who: Literal["teacher", "student"]
    passes: int

    @property
    def name(self) -> str:
        """Name of the row."""
        return f"{self.who}, {self.passes} pass{'es' if self.passes > 1 else ''}"


def ways(teacher: Generator, student: Generator) -> list[Way]:
    """Return the teacher at its own number of passes and at 2, the student at all of its passes and at 1."""
    own, all_of_them = (resolve_sampling(g.card).steps for g in (teacher, student))
    every = [Way("teacher", own), Way("teacher", FEW), Way("student", all_of_them), Way("student", 1)]
    return list(dict.fromkeys(every))


def refuse_another_teacher(teacher: Generator, student: Generator) -> None:
    """Refuse a generator that is not a student, or a student of another teacher."""
    if teacher.card.student is not None:
        raise InputError("teacher: is itself a student; give the run that it was distilled from")
    if student.card.student is None:
        raise InputError("student: is none; give a run of `nucleosynth distill`")
    if student.card.student.teacher != teacher.generator_id:
        raise InputError(
            f"student: was distilled from {student.card.student.teacher}, not from {teacher.generator_id}"
        )


def compare(
    generators: Mapping[str, Generator], evaluator: TileEvaluator, *, batch: int, repeats: int, run: Path
) -> list[dict[str, Any]]:
    """Time teacher and student in turn, then draw, score and return their rows."""
    models = {who: OwnModel(generator) for who, generator in generators.items()}
    rows = ways(generators["teacher"], generators["student"])

    def draw(way: Way, turn: int) -> None:
        masks, stain = evaluator.asked.masks[:batch], evaluator.asked.stain[:batch]
        models[way.who].sample(masks, stain=stain, seed=turn, first=0, steps=way.passes, batch=batch)

    works: dict[str, Work] = {way.name: partial(draw, way) for way in rows}
    timed = alternate(works, repeats=repeats)
    found = []
    for way in rows:
        weights = generators[way.who].generator_id
        out = run / "samples" / f"{slug(way.name)}-{weights}-{evaluator.part}"
        made, _ = evaluator.draw(models[way.who], {"steps": way.passes}, weights=weights, out=out)
        save_png(out.with_suffix(".png"), grid(made[:SHOWN], columns=8, scale=2))
        row = {
            "name": way.name,
            "who": way.who,
            "passes": way.passes,
            "seconds_per_tile": statistics.median(timed[way.name]["seconds"]) / batch,
            **timed[way.name],
            **evaluator.scores(made),
        }
        show(row)
        found.append(row)
    return found


def main(
    teacher_run: Path,
    student_run: Path,
    *,
    samples: int = 256,
    batch: int = BATCH,
    repeats: int = REPEATS,
    part: Part = "validation",
    seed: int = 0,
    run: Path = HOME / "runs" / "benchmark-quality",
    result: Path = RESULT,
) -> None:
    """Time, draw, score and write the result.

    Parameters
    ----------
    teacher_run, student_run
        Run directories of the two generators.
    samples
        Tiles that each row is scored by.
    batch
        Tiles drawn at a time in timed runs.
    repeats
        Number of timed rounds.
    """
    runs = {"teacher": teacher_run, "student": student_run}
    generators = {who: Generator.from_pretrained(path, device="cpu") for who, path in runs.items()}
    refuse_another_teacher(generators["teacher"], generators["student"])
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    for who, generator in generators.items():
        trained_on = generator.card.trained_on_among(tiles.patients.tolist())
        require_no_leakage(str(runs[who]), trained_on, fold.train)
    evaluator = TileEvaluator(tiles, fold, part, samples=samples, seed=seed)
    batch = min(batch, samples)
    found: dict[str, Any] = {
        "data": {"name": "TNBC", "tile": tiles.size[0], "mpp": tiles.mpp, "content_hash": tiles.content_hash},
        "settings": {
            **evaluator.settings(),
            "batch": batch,
            "repeats": repeats,
            "dtype": str(inference_precision(CPU)).removeprefix("torch."),
        },
        **{who: described(generators[who], runs[who]) for who in runs},
        "rows": compare(generators, evaluator, batch=batch, repeats=repeats, run=run),
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }
    write_json(result, found)


def described(generator: Generator, run: Path) -> dict[str, Any]:
    """Return the entry of a generator in the result."""
    return {
        "id": generator.generator_id,
        "parameters": generator.parameters,
        "train_seconds": trained_seconds(run),
        **generator.card.as_json(),
    }


def show(row: Mapping[str, Any]) -> None:
    """Print what matters most."""
    print(
        f"{row['name']}: KID {row['fidelity']['kid']:.4f}, corrected agreement "
        f"{row['agreement']['corrected']:.3f}, coverage {row['coverage']['of_real']:.2f} of real, "
        f"{row['seconds_per_tile']:.4f} s a tile",
        flush=True,
    )


if __name__ == "__main__":
    cyclopts.run(main)
