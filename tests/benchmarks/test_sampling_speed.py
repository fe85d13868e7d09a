"""Turns are taken as said, operations are counted as by hand."""

from __future__ import annotations

import pytest
from benchmarks.contenders import OwnTraining
from benchmarks.sampling_speed import CONTENDERS, Limit, Timed, alternate, operations, sampling_speed
from tests.benchmarks.test_layout_scores import CORNER
from tests.phantoms import TINY_NETWORK


def test_works_take_turns_after_one_that_warms_up():
    turns: list[tuple[str, int]] = []
    works = {name: (lambda turn, name=name: turns.append((name, turn))) for name in ("fast", "slow")}
    found = alternate(works, repeats=2, once=["slow"])
    assert turns == [("fast", 0), ("fast", 1), ("slow", 1), ("fast", 2)]
    assert {name: len(times["seconds"]) for name, times in found.items()} == {"fast": 2, "slow": 1}
    assert all(len(times["load_before"]) == len(times["seconds"]) for times in found.values())


def test_operations_of_a_convolution_by_hand():
    assert operations(Limit(2, channels=4, side=8)) == 2 * 2 * 8 * 8 * 4 * 4 * 9


def test_contenders_have_names_of_their_own_and_one_training_for_each_key():
    assert len({timed.name for timed in CONTENDERS}) == len(CONTENDERS)
    trainings = {}
    for timed in CONTENDERS:
        assert trainings.setdefault(timed.training.key, timed.training) == timed.training
        assert timed.evaluations == timed.sampling["steps"]


def test_speed_counts_the_tiles_that_each_draws():
    masks = CORNER.repeat(4, axis=0).repeat(4, axis=1)[None].repeat(4, axis=0)
    training = OwnTraining("tiny", {"network": TINY_NETWORK})
    contenders = [
        Timed("many", training, {"steps": 1}, 1),
        Timed("few", training, {"steps": 1}, 1, few=True, once=True),
    ]
    found = sampling_speed(contenders, masks, few=1, repeats=3)
    assert {name: one["tiles"] for name, one in found.items()} == {"many": 4, "few": 1}
    times = sorted(found["many"]["seconds"])
    assert found["many"]["tiles_per_second"] == pytest.approx(4 / times[1])
    assert found["few"]["tiles_per_second"] == pytest.approx(1 / found["few"]["seconds"][0])
    assert found["many"]["parameters"] == found["few"]["parameters"] > 0
