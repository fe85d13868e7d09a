"""The loop: budget, schedule, guard, weight average, metrics, checkpoints and exact resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nucleosynth import progress
from nucleosynth.errors import WorkError
from nucleosynth.files import append_jsonl, read_json, write_json
from nucleosynth.runs import Run
from nucleosynth.seeds import torch_seed
from nucleosynth.training.checkpoint import load_checkpoint, save_checkpoint
from nucleosynth.training.config import Optimisation
from nucleosynth.training.metrics import METRICS_FILE, cut_back
from nucleosynth.training.stopping import HeldOut, Watch

CHECKPOINT_SECONDS = 60.0
PROBE_SHARE, PROBE_STEPS = 0.05, 30
MOST_SKIPPED = 20
_log = logging.getLogger(__name__)


class Learner(Protocol):
    """A trainable model with a loss, whose batch is a function of the step alone."""

    model: nn.Module

    def loss(self, step: int) -> Tensor:
        """Return the scalar loss of the batch of ``step``."""
        ...


Preview = Callable[[int, dict[str, Tensor]], None]
"""``preview(step, ema)`` writes pictures or scores; it must not change the learner."""


@dataclass
class Trained:
    """The result of the training loop.

    Attributes
    ----------
    ema
        Averaged weights: those with the best validation loss if there were checks, else the last ones.
    steps
        Step of these weights.
    stopped
        When and why training ended.
    """

    ema: dict[str, Tensor]
    steps: int
    stopped: str


def run_training(
    learner: Learner,
    run: Run,
    optimisation: Optimisation,
    *,
    seed: int,
    device: torch.device,
    preview: Preview | None = None,
    previews: int = 4,
    held_out: HeldOut | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Train ``learner`` in the run directory, or continue from its last checkpoint.

    Parameters
    ----------
    preview
        Called ``previews`` times, evenly spaced, the last time at the end.
    held_out
        Validation loss; decides which weights are kept, and when more training does not help.
    checkpoint_seconds
        Least time between two checkpoints; they are at logged steps.

    Raises
    ------
    WorkError
        The gradient was not a finite number in 20 steps in a row.
    """
    model = learner.model.to(device)
    optimizer = _optimizer(model, optimisation, device)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    total = _total_steps(learner, run, optimisation, seed=seed)
    step = load_checkpoint(run.path / "checkpoints", model=model, ema=ema, optimizer=optimizer)
    cut_back(run.path / METRICS_FILE, step)
    watch = None if held_out is None else Watch(run.path, held_out, total=total, step=step)
    clock = _Clock(checkpoint_seconds)
    window = _Window()
    with progress.task(f"train {run.kind}", total) as update:
        while step < total and not (watch and watch.exhausted):
            rate = optimisation.lr * schedule(step, total, optimisation.warmup)
            norm = _step(learner, optimizer, optimisation, rate=rate, seed=seed, step=step, window=window)
            step += 1
            if math.isfinite(norm):
                _average(ema, model, step, optimisation.ema_fraction * total)
            if watch and watch.due(step):
                watch.check(step, ema)
            last = step == total or (watch is not None and watch.exhausted)
            if preview is not None and _preview_due(step, total, previews):
                preview(step, ema)  # before the checkpoint, so that a run killed in between makes it again
            if step % optimisation.log_every == 0 or last:
                loss = window.flush()
                record = {"step": step, "loss": loss, "lr": rate, "grad_norm": norm, "seconds": clock.lap()}
                append_jsonl(run.path / METRICS_FILE, record)
                update(step, f"loss {loss:.3f}")
                if clock.due() or last:
                    save_checkpoint(run.path / "checkpoints", step, model=model, ema=ema, optimizer=optimizer)
    if watch is None:
        return Trained(ema, total, f"after all {total} steps")
    return Trained(watch.best(), watch.best_step, watch.verdict(step))


def schedule(step: int, total: int, warmup: int) -> float:
    """Return the factor on the learning rate: linear warm-up, then cosine decay to zero."""
    warmup = min(warmup, max(1, total // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _step(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    optimisation: Optimisation,
    *,
    rate: float,
    seed: int,
    step: int,
    window: _Window,
) -> float:
    """Take one step and return the gradient norm; a step without a finite one changes nothing."""
    torch.manual_seed(torch_seed(seed, "network", step))
    for group in optimizer.param_groups:
        group["lr"] = rate
    learner.model.train()
    loss = learner.loss(step)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(learner.model.parameters(), optimisation.clip))
    if math.isfinite(norm):
        optimizer.step()
    window.add(float(loss.detach()), step, finite=math.isfinite(norm))
    optimizer.zero_grad(set_to_none=True)
    return norm


class _Window:
    """Mean loss since the last record, and the guard against losses that are not numbers."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._skipped = 0

    def add(self, loss: float, step: int, *, finite: bool) -> None:
        self._skipped = 0 if finite else self._skipped + 1
        if self._skipped >= MOST_SKIPPED:
            raise WorkError(
                f"step {step}: the loss is not a finite number in {MOST_SKIPPED} steps in a row; lower `lr`"
            )
        if finite:
            self._losses.append(loss)

    def flush(self) -> float:
        mean = sum(self._losses) / max(1, len(self._losses))
        self._losses = []
        return mean


class _Clock:
    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._saved = self._lap = time.monotonic()

    def due(self) -> bool:
        if time.monotonic() - self._saved < self._interval:
            return False
        self._saved = time.monotonic()
        return True

    def lap(self) -> float:
        before, self._lap = self._lap, time.monotonic()
        return round(self._lap - before, 3)


def _optimizer(model: nn.Module, optimisation: Optimisation, device: torch.device) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": optimisation.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    betas = (optimisation.beta1, optimisation.beta2)
    return torch.optim.AdamW(groups, lr=optimisation.lr, betas=betas, fused=fused)


def _average(ema: dict[str, Tensor], model: nn.Module, step: int, length: float) -> None:
    """Move the average towards the weights; early on by more, so that the start is forgotten."""
    share = max(1 / max(1.0, length), 9 / (step + 9)) if length > 0 else 1.0
    state = model.state_dict()
    floats = [name for name in ema if ema[name].is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([ema[n] for n in floats], [state[n].detach() for n in floats], min(1.0, share))
        for name in ema.keys() - set(floats):
            ema[name].copy_(state[name])


def _total_steps(learner: Learner, run: Run, optimisation: Optimisation, *, seed: int) -> int:
    """Return the number of steps; minutes become steps once, by a timed probe, stored before step 1."""
    if optimisation.steps is not None:
        return optimisation.steps
    stored = run.path / "budget.json"
    if not stored.exists():
        assert optimisation.minutes is not None
        seconds = 60 * optimisation.minutes
        per_step = _probe(learner, seed, seconds * PROBE_SHARE)
        steps = max(optimisation.log_every, round(seconds * (1 - PROBE_SHARE) / per_step))
        most = optimisation.most_steps or steps
        if steps > most:
            _log.warning(
                "%s: %g minutes would be %d steps; %d are done, as more would overfit",
                run.path,
                optimisation.minutes,
                steps,
                most,
            )
        write_json(
            stored,
            {
                "minutes": optimisation.minutes,
                "seconds_per_step": per_step,
                "steps": min(steps, most),
            },
        )
    return int(read_json(stored)["steps"])


def _probe(learner: Learner, seed: int, limit: float) -> float:
    """Time forward and backward passes without touching the weights; median seconds per step."""
    buffers = {name: value.clone() for name, value in learner.model.named_buffers()}
    times: list[float] = []
    learner.model.train()
    started = time.monotonic()
    while len(times) < 3 or (len(times) < PROBE_STEPS and time.monotonic() - started < limit):
        begin = time.monotonic()
        torch.manual_seed(torch_seed(seed, "probe", len(times)))
        learner.loss(len(times)).backward()  # type: ignore[no-untyped-call]
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.monotonic() - begin)
    learner.model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, value in learner.model.named_buffers():
            value.copy_(buffers[name])
    return sorted(times)[len(times) // 2] * 1.08  # optimiser, average and records


def _preview_due(step: int, total: int, previews: int) -> bool:
    return step * previews // total > (step - 1) * previews // total
