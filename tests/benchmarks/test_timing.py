"""Works are timed in the stated order, and times are stored."""

from __future__ import annotations

from benchmarks.timing import Kept, alternate, rounds, warm_up


def works(turns: list[tuple[str, int]], *names: str):
    return {name: (lambda turn, name=name: turns.append((name, turn))) for name in names}


def test_works_take_turns_after_one_that_warms_up():
    turns: list[tuple[str, int]] = []
    found = alternate(works(turns, "fast", "slow"), repeats=2, once=["slow"])
    assert turns == [("fast", 0), ("fast", 1), ("slow", 1), ("fast", 2)]
    assert {name: len(times["seconds"]) for name, times in found.items()} == {"fast": 2, "slow": 1}
    assert all(len(times["load_before"]) == len(times["seconds"]) for times in found.values())


def test_works_that_are_warm_run_in_their_rounds_alone():
    turns: list[tuple[str, int]] = []
    every = works(turns, "fast", "slow")
    assert set(warm_up(every)) == {"fast", "slow"}
    assert turns == [("fast", 0)] * 2 + [("slow", 0)] * 2
    alternate(every, repeats=2, once=["slow"], warmed=True)
    assert turns[4:] == [("fast", 1), ("slow", 1), ("fast", 2)]
    assert rounds(every, repeats=2, once=["slow"]) == [(turn, name) for name, turn in turns[4:]]


def test_kept_times_are_found_again_and_those_of_another_work_are_not(tmp_path):
    path, turns = tmp_path / "times.jsonl", []
    what = {"fast": {"steps": 1}, "slow": {"steps": 9}}
    first = alternate(works(turns, *what), repeats=1, warmed=True, kept=Kept(path, what))
    again = alternate(works(turns, *what), repeats=2, warmed=True, kept=Kept(path, what))
    assert turns == [("fast", 1), ("slow", 1), ("fast", 2), ("slow", 2)]
    for name in what:
        assert again[name]["seconds"][0] == first[name]["seconds"][0]
    changed = Kept(path, {"fast": {"steps": 2}, "slow": {"steps": 9}})
    assert changed.find("fast", 1) is None
    assert changed.find("slow", 2) is not None
    Kept(path, {"fast": {"steps": 1}}).forget()
    assert Kept(path, what).find("fast", 1) is None
    assert Kept(path, what).find("slow", 1) is not None
