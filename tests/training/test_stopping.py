"""Early stop: the best weights are kept, training ends when it helps no more, a resume changes nothing."""

from __future__ import annotations

import pytest
import torch
from tests.training.test_loop import CPU, BrokenError, Toy

from nucleosynth.files import read_json, read_jsonl
from nucleosynth.runs import open_run
from nucleosynth.training.config import Optimisation
from nucleosynth.training.loop import run_training
from nucleosynth.training.stopping import BEST_FILE, CHECKS_FILE, HeldOut


def train(path, held_out, learner=None, *, steps=40):
    optimisation = Optimisation(steps=steps, lr=0.01, log_every=5)
    with open_run(path, kind="toy", config={"steps": steps}) as run:
        return run_training(
            learner or Toy(), run, optimisation, seed=1, device=CPU, held_out=held_out, checkpoint_seconds=0
        )


def scripted(values):
    """A loss that follows a script, and the weights that it was called with."""
    seen, left = [], iter(values)

    def loss(ema):
        seen.append({name: value.clone() for name, value in ema.items()})
        return next(left)

    return loss, seen


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in other)


def test_it_stops_after_so_many_checks_without_a_new_best_and_keeps_the_best(tmp_path):
    loss, seen = scripted([3.0, 2.0, 1.0, 1.5, 1.0, 1.2, 9.0])
    fitted = train(tmp_path / "run", HeldOut(loss, checks=10, patience=3))
    assert len(seen) == 6
    assert fitted.steps == 12
    assert equal(fitted.ema, seen[2])
    assert fitted.stopped.startswith("at step 24 of 40: the held-out loss has not fallen for 3 checks")


def test_a_loss_that_falls_to_the_end_lets_it_run_to_the_end(tmp_path):
    loss, seen = scripted([float(10 - i) for i in range(10)])
    fitted = train(tmp_path / "run", HeldOut(loss, checks=10, patience=3))
    assert fitted.steps == 40
    assert equal(fitted.ema, seen[-1])
    assert fitted.stopped.startswith("after all 40 steps")


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "checked"), [(1, list(range(4, 41, 4))), (13, [14, 27, 40]), (99, [40])])
def test_a_short_run_is_checked_seldom_and_always_at_its_end(tmp_path, apart, checked):
    loss, _ = scripted([float(10 - i) for i in range(10)])
    train(tmp_path / "run", HeldOut(loss, checks=10, apart=apart))
    assert [one["step"] for one in read_jsonl(tmp_path / "run" / CHECKS_FILE)] == checked


def test_a_stopped_run_started_again_does_not_train_further(tmp_path):
    loss, _ = scripted([1.0, 2.0, 2.0])
    first = train(tmp_path / "run", HeldOut(loss, checks=10, patience=2))
    again = train(tmp_path / "run", HeldOut(scripted([])[0], checks=10, patience=2))
    assert (again.steps, again.stopped) == (first.steps, first.stopped)
    assert equal(again.ema, first.ema)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [7, 18, 26])
def test_a_resumed_run_checks_and_keeps_the_same(tmp_path, stop):
    class Breaking(Toy):
        def loss(self, step):
            if step == stop:
                raise BrokenError
            return super().loss(step)

    def loss(ema):  # a function of the weights alone, that falls and rises
        return float((ema["0.weight"].norm() - 1.6).abs())

    held_out = HeldOut(loss, checks=10, patience=4)
    whole = train(tmp_path / "whole", held_out)
    with pytest.raises(BrokenError):
        train(tmp_path / "broken", held_out, Breaking())
    resumed = train(tmp_path / "broken", held_out)
    assert (resumed.steps, resumed.stopped) == (whole.steps, whole.stopped)
    assert equal(resumed.ema, whole.ema)
    assert read_jsonl(tmp_path / "broken" / CHECKS_FILE) == read_jsonl(tmp_path / "whole" / CHECKS_FILE)
    assert (tmp_path / "broken" / BEST_FILE).read_bytes() == (tmp_path / "whole" / BEST_FILE).read_bytes()


def test_minutes_never_become_more_steps_than_allowed(tmp_path, caplog):
    optimisation = Optimisation(minutes=1, most_steps=5, log_every=5)
    with open_run(tmp_path / "run", kind="toy", config={}) as run:
        assert run_training(Toy(), run, optimisation, seed=1, device=CPU).steps == 5
    assert read_json(tmp_path / "run" / "budget.json")["steps"] == 5
    assert "5 are done" in caplog.text
