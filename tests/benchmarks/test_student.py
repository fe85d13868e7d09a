"""A student and its teacher: which rows there are, what is refused, and that both are scored and timed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.contenders import OwnModel, OwnTraining
from benchmarks.quality import TileEvaluator
from benchmarks.student import Way, compare, refuse_another_teacher, ways
from tests.phantoms import TINY_NETWORK

from nucleosynth.data.split import Fold
from nucleosynth.diffusion.config import Student
from nucleosynth.diffusion.generator import Generator
from nucleosynth.errors import InputError


def built(*, size: int = 64) -> Generator:
    model = OwnTraining("tiny", {"network": TINY_NETWORK}).build(size)
    assert isinstance(model, OwnModel)
    return model.generator


def student_of(teacher: Generator, *sigmas: float, name: str | None = None) -> Generator:
    own = Student(teacher=name or teacher.generator_id, sigmas=sigmas)
    return Generator(teacher.denoiser, replace(teacher.card, student=own))


def test_both_are_drawn_at_their_own_passes_and_at_few():
    teacher = built()
    rows = ways(teacher, student_of(teacher, 60.0, 20.0, 5.0))
    assert [row.name for row in rows] == [
        "teacher, 10 passes", "teacher, 2 passes", "student, 3 passes", "student, 1 pass",
    ]  # fmt: skip
    assert ways(teacher, student_of(teacher, 5.0))[2:] == [Way("student", 1)]


def test_a_student_of_another_teacher_is_refused():
    teacher = built()
    refuse_another_teacher(teacher, student_of(teacher, 5.0))
    with pytest.raises(InputError, match=f"was distilled from another, not from {teacher.generator_id}"):
        refuse_another_teacher(teacher, student_of(teacher, 5.0, name="another"))
    with pytest.raises(InputError, match="student: is none"):
        refuse_another_teacher(teacher, teacher)
    with pytest.raises(InputError, match="teacher: is itself a student"):
        refuse_another_teacher(student_of(teacher, 5.0), student_of(teacher, 5.0))


@pytest.mark.slow
def test_every_row_is_scored_and_timed(layout_tiles, tmp_path):
    fold = Fold(
        train=[f"phantom:p{i:02d}" for i in range(2)], validation=["phantom:p05"], test=["phantom:p06"]
    )
    evaluator = TileEvaluator(layout_tiles, fold, "validation", samples=12, seed=0)
    teacher = built()
    generators = {"teacher": teacher, "student": student_of(teacher, 60.0, 5.0)}
    rows = compare(generators, evaluator, batch=4, repeats=3, run=tmp_path)
    assert [(row["who"], row["passes"]) for row in rows] == [
        ("teacher", 10), ("teacher", 2), ("student", 2), ("student", 1),
    ]  # fmt: skip
    for row in rows:
        assert row["seconds_per_tile"] == pytest.approx(sorted(row["seconds"])[1] / 4)
        assert row["coverage"]["of_real"] >= 0
        assert row["agreement"]["ceiling"] > 0
    assert len({row["fidelity"]["kid"] for row in rows}) == 4  # four sets of tiles
    again = compare(generators, evaluator, batch=4, repeats=1, run=tmp_path)  # tiles are kept
    assert [row["fidelity"] for row in again] == [row["fidelity"] for row in rows]
