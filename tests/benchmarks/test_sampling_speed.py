"""Operations are counted as by hand, tiles as drawn; a killed measurement continues."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from benchmarks import sampling_speed as speed
from benchmarks.contenders import OwnModel, OwnTraining
from benchmarks.sampling_speed import (
    CONTENDERS,
    Limit,
    Timed,
    chosen,
    get_ready,
    measure,
    operations,
    sampling_speed,
)
from tests.benchmarks.test_layout_scores import CORNER
from tests.phantoms import TINY_NETWORK

from nucleosynth.errors import InputError


@pytest.mark.slow
def test_operations_of_a_convolution_by_hand():
    assert operations(Limit(2, channels=4, side=8).evaluate) == 2 * 2 * 8 * 8 * 4 * 4 * 9


def test_contenders_have_names_of_their_own_and_one_training_for_each_key():
    assert len({timed.name for timed in CONTENDERS}) == len(CONTENDERS)
    trainings = {}
    for timed in CONTENDERS:
        assert trainings.setdefault(timed.training.key, timed.training) == timed.training
        assert timed.evaluations == timed.sampling["steps"]


def contenders(steps: int = 3) -> list[Timed]:
    training = OwnTraining("tiny", {"network": TINY_NETWORK})
    return [
        Timed("many", training, {"steps": steps}, steps),
        Timed("few", training, {"steps": 4}, 4, few=True, once=True),
    ]


MASKS = CORNER.repeat(4, axis=0).repeat(4, axis=1)[None].repeat(4, axis=0)


def test_speed_counts_the_tiles_that_each_draws():
    found = sampling_speed(get_ready(contenders(), MASKS, few=1), repeats=3)
    assert {name: one["tiles"] for name, one in found.items()} == {"many": 4, "few": 1}
    times = sorted(found["many"]["seconds"])
    assert found["many"]["tiles_per_second"] == pytest.approx(4 / times[1])
    assert found["few"]["tiles_per_second"] == pytest.approx(1 / found["few"]["seconds"][0])
    assert found["many"]["parameters"] == found["few"]["parameters"] > 0


@pytest.fixture
def tiny_limit(monkeypatch):
    """Near the limit is measured with a tiny network and convolution; returns what is evaluated."""
    own = Timed("ours", OwnTraining("tiny", {"network": TINY_NETWORK}), {"steps": 2}, 2)
    monkeypatch.setattr(speed, "CONTENDERS", (own,))
    monkeypatch.setattr(speed, "Limit", partial(Limit, channels=4, side=8))
    calls: list[dict[str, Any]] = []
    sample = OwnModel.sample

    def counted(self, masks, **asked):
        calls.append({"tiles": len(masks), "steps": asked["steps"]})
        return sample(self, masks, **asked)

    monkeypatch.setattr(OwnModel, "sample", counted)
    return calls


def test_one_evaluation_warms_up_and_a_killed_measurement_continues(tiny_limit, tmp_path, capsys):
    times = tmp_path / "times.jsonl"
    measure(contenders(), MASKS, few=1, repeats=2, times=times)
    evaluations = [(call["tiles"], call["steps"]) for call in tiny_limit]
    assert evaluations[:6] == [(4, 1), (4, 1), (4, 1), (4, 1), (1, 1), (1, 1)]  # loop, many, few
    assert evaluations[6:] == [(4, 2)] * 2 + [(4, 2)] + [
        (4, 3),
        (1, 4),
        (4, 3),
    ]  # two rounds, counted; in turn
    assert "0 of 7 times are in" in capsys.readouterr().out
    whole = times.read_text().splitlines()
    assert len(whole) == 7

    times.write_text("\n".join(whole[:5]) + "\n" + whole[5][:20])  # killed while it wrote the sixth
    tiny_limit.clear()
    found, kept = measure(contenders(), MASKS, few=1, repeats=2, times=times)
    out = capsys.readouterr().out
    assert "many: " in out
    assert "5 of 7 times are in" in out
    assert "the others take about " in out
    drawn = [(call["tiles"], call["steps"]) for call in tiny_limit][6:]
    assert drawn == [(4, 2), (1, 4), (4, 3)]  # operations are counted anew
    assert [json.loads(line) for line in times.read_text().splitlines()[:5]] == [
        json.loads(x) for x in whole[:5]
    ]
    assert found["contenders"]["many"]["seconds"][0] == json.loads(whole[4])["seconds"]
    kept.forget()
    assert times.read_text() == ""


def test_unknown_contenders_are_refused():
    assert chosen(()) == list(CONTENDERS)
    assert [timed.name for timed in chosen(("ours",))] == ["ours"]
    with pytest.raises(InputError, match="--only our: no such contender; there are 'ours'"):
        chosen(("our",))
