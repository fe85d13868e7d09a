"""The loop: a run that is killed and resumed equals one that never was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from nucleosynth.errors import WorkError
from nucleosynth.files import read_json, read_jsonl
from nucleosynth.runs import open_run
from nucleosynth.training.config import Optimisation
from nucleosynth.training.loop import run_training, schedule

CPU = torch.device("cpu")


class Toy:
    """A network with dropout and batch statistics on data that depends on the step alone."""

    def __init__(self, *, spoil: range = range(0)) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )
        self._spoil = spoil

    def loss(self, step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, 4, generator=generator)
        loss = (self.model(x)[:, 0] - x.sum(1)).pow(2).mean()
        return loss * float("nan") if step in self._spoil else loss


def train(path, learner=None, *, steps=30, **changes):
    optimisation = Optimisation(steps=steps, lr=0.01, log_every=5)
    with open_run(path, kind="toy", config={"steps": steps}) as run:
        return run_training(
            learner or Toy(), run, optimisation, seed=1, device=CPU, checkpoint_seconds=0, **changes
        )


class BrokenError(Exception):
    pass


def test_a_preview_that_was_not_made_is_made_by_the_resumed_run(tmp_path):
    made = []

    def broken(step, ema):
        if step == 15:
            raise BrokenError
        made.append(step)

    with pytest.raises(BrokenError):
        train(tmp_path / "run", preview=broken, previews=2)
    train(tmp_path / "run", preview=lambda step, ema: made.append(step), previews=2)
    assert made == [15, 30]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 5, 14, 29])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, stop):
    class Breaking(Toy):
        def loss(self, step):
            if step == stop:
                raise BrokenError
            return super().loss(step)

    whole = train(tmp_path / "whole")
    with pytest.raises(BrokenError):
        train(tmp_path / "broken", Breaking())
    resumed = train(tmp_path / "broken")
    assert all(torch.equal(whole.ema[name], resumed.ema[name]) for name in whole.ema)
    records = [
        [
            {k: v for k, v in r.items() if k != "seconds"}
            for r in read_jsonl(tmp_path / name / "metrics.jsonl")
        ]
        for name in ("whole", "broken")
    ]
    assert records[0] == records[1]


def test_a_resumed_run_of_convolutions_in_channels_last_equals_an_unbroken_one(tmp_path):
    class Convolution:
        def __init__(self, stop: int | None = None) -> None:
            torch.manual_seed(0)
            self.model: nn.Module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
            self._stop = stop

        def loss(self, step: int) -> torch.Tensor:
            if step == self._stop:
                raise BrokenError
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            return (self.model(x) - x.mean()).square().mean()

    whole = train(tmp_path / "whole", Convolution())
    with pytest.raises(BrokenError):
        train(tmp_path / "broken", Convolution(stop=14))
    resumed = train(tmp_path / "broken", Convolution())
    assert all(torch.equal(whole.ema[name], resumed.ema[name]) for name in whole.ema)


@pytest.mark.slow
def test_it_learns_and_keeps_two_checkpoints(tmp_path):
    train(tmp_path / "run", steps=200)
    losses = [record["loss"] for record in read_jsonl(tmp_path / "run" / "metrics.jsonl")]
    assert losses[-1] < losses[0] / 2
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step-00000195", "step-00000200"]


def test_a_damaged_checkpoint_falls_back_to_the_other(tmp_path, caplog):
    whole = train(tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step-00000030" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4] + b"oops")
    again = train(tmp_path / "run")
    assert "step-00000030: damaged checkpoint" in caplog.text
    assert all(torch.equal(whole.ema[name], again.ema[name]) for name in whole.ema)


def test_a_single_bad_step_changes_nothing_and_many_stop_the_run(tmp_path):
    fitted = train(tmp_path / "one", Toy(spoil=range(7, 8)))
    assert all(torch.isfinite(value).all() for value in fitted.ema.values())
    with pytest.raises(WorkError, match="not a finite number in 20 steps in a row"):
        train(tmp_path / "many", Toy(spoil=range(7, 100)))


@pytest.mark.slow
def test_minutes_become_steps_once(tmp_path):
    optimisation = Optimisation(minutes=0.005, log_every=1)
    config = {"minutes": 0.005}
    with open_run(tmp_path / "run", kind="toy", config=config) as run:
        first = run_training(Toy(), run, optimisation, seed=1, device=CPU)
    budget = read_json(tmp_path / "run" / "budget.json")
    assert first.steps == budget["steps"] >= 1
    with open_run(tmp_path / "run", kind="toy", config=config) as run:
        assert run_training(Toy(), run, optimisation, seed=1, device=CPU).steps == first.steps


@pytest.mark.slow
def test_the_probe_leaves_the_weights_and_statistics_alone(tmp_path):
    with open_run(tmp_path / "a", kind="toy", config={}) as run:
        steps = run_training(Toy(), run, Optimisation(minutes=0.002, log_every=1), seed=1, device=CPU)
    with open_run(tmp_path / "b", kind="toy", config={}) as run:
        fixed = run_training(Toy(), run, Optimisation(steps=steps.steps, log_every=1), seed=1, device=CPU)
    assert all(torch.equal(steps.ema[name], fixed.ema[name]) for name in steps.ema)


def test_the_schedule_warms_up_and_ends_at_zero():
    values = [schedule(step, 1000, 100) for step in range(1000)]
    assert values[0] == 0.01
    assert max(values) == values[100] == 1
    assert values[-1] < 1e-4


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_no_number(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, {tests!r})\n"
        "from pathlib import Path\n"
        "from tests.training.test_loop import Toy, train\n"
        "class Slow(Toy):\n"
        "    def loss(self, step):\n"
        "        time.sleep(0.02)\n"
        "        return super().loss(step)\n"
        "train(Path(sys.argv[1]), Slow(), steps=60)\n"
    ).format(tests=str(__file__).rsplit("/tests/", 1)[0])
    metrics = tmp_path / "killed" / "metrics.jsonl"
    for pause in (0.3, 0.5, 0.9):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")])
        before = len(read_jsonl(metrics))
        deadline = time.monotonic() + 60
        while len(read_jsonl(metrics)) <= before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert read_jsonl(metrics), "or this test shows nothing"
    whole, resumed = (train(tmp_path / name, steps=60) for name in ("whole", "killed"))
    assert all(torch.equal(whole.ema[name], resumed.ema[name]) for name in whole.ema)
