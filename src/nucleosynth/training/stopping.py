"""Early stop: keep the weights that did best on data held out from training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors.torch import load_file, save_file
from torch import Tensor

from nucleosynth.files import append_jsonl, partial, read_jsonl
from nucleosynth.training.metrics import cut_back

CHECKS_FILE: Final = "held_out.jsonl"
BEST_FILE: Final = "best.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """What is checked in training, and how often.

    Attributes
    ----------
    loss
        ``loss(ema)``: of the averaged weights on held-out data; the same for the same weights.
    checks
        How often in a run at most, evenly spaced, the last time at its end.
    apart
        So many steps at least lie between two checks, which cost time of training.
    patience
        Checks in a row without a new best after which training stops.
    """

    loss: Callable[[dict[str, Tensor]], float]
    checks: int = 20
    apart: int = 1
    patience: int = 5


class Watch:
    """The checks of one run; its files are those of an unbroken run also after a resume."""

    def __init__(self, run: Path, held_out: HeldOut, *, total: int, step: int) -> None:
        self._run = run
        self._held_out = held_out
        self._total = total
        self._checks = max(1, min(held_out.checks, total // held_out.apart))
        cut_back(run / CHECKS_FILE, step)
        self._losses = {r["step"]: r["loss"] for r in read_jsonl(run / CHECKS_FILE)}

    def due(self, step: int) -> bool:
        """Whether a check falls on this step."""
        return step * self._checks // self._total > (step - 1) * self._checks // self._total

    def check(self, step: int, ema: dict[str, Tensor]) -> None:
        """Score the weights and keep them where they are the best so far."""
        loss = self._held_out.loss(ema)
        if loss < min(self._losses.values(), default=float("inf")):
            with partial(self._run / BEST_FILE) as building:
                save_file({name: value.detach().cpu().contiguous() for name, value in ema.items()}, building)
        self._losses[step] = loss
        append_jsonl(self._run / CHECKS_FILE, {"step": step, "loss": loss})

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` checks brought no new best."""
        since = [step for step in self._losses if step > self.best_step]
        return len(since) >= self._held_out.patience

    @property
    def best_step(self) -> int:
        """Step of the lowest loss, the first of equal ones; 0 before the first check."""
        return min(self._losses, key=lambda step: (self._losses[step], step), default=0)

    def verdict(self, step: int) -> str:
        """Say when training stopped, after ``step`` steps, and why."""
        kept = f"the weights of step {self.best_step} are kept"
        if self.exhausted:
            return (
                f"at step {step} of {self._total}: the held-out loss has not fallen "
                f"for {self._held_out.patience} checks; {kept}"
            )
        return f"after all {self._total} steps; {kept}"

    def best(self) -> dict[str, Tensor]:
        """Return the weights of the best step."""
        return load_file(self._run / BEST_FILE)
