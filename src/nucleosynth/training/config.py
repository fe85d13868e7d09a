"""Settings of the training loop: budget and optimiser; free of torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from nucleosynth.config import Config


class Budget(Config):
    """The budget of a training: ``minutes`` or ``steps``; with neither, `default_minutes` if set."""

    default_minutes: ClassVar[float | None] = None

    steps: int | None = Field(None, ge=1, le=10**9, description="optimiser steps")
    minutes: float | None = Field(
        None, gt=0, description="wall time, turned into steps once by a timed probe"
    )

    @model_validator(mode="before")
    @classmethod
    def _default_budget(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("minutes") is None and data.get("steps") is None:
            return {**data, "minutes": cls.default_minutes}
        return data

    @model_validator(mode="after")
    def _one_budget(self) -> Budget:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give `minutes` or `steps`, one of them and not both")
        return self


class Optimisation(Budget):
    """Settings of the loop. Everything counts steps, so a resumed run equals an uninterrupted one."""

    most_steps: int | None = Field(None, ge=1, description="largest number of steps from ``minutes``")
    lr: float = Field(1e-3, gt=0, description="peak learning rate; cosine decay to zero")
    warmup: int = Field(100, ge=0, description="steps of linear warm-up, at most a tenth of the run")
    weight_decay: float = Field(0.01, ge=0)
    beta1: float = Field(
        0.9, ge=0, lt=1, description="beta 1 of the optimiser; lower for adversarial training"
    )
    beta2: float = Field(0.99, gt=0, lt=1)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema_fraction: float = Field(
        0.05, ge=0, le=1, description="length of the weight average, as a share of the run"
    )
    log_every: int = Field(25, ge=1, description="steps between records in metrics.jsonl")
