"""Configuration of the classifier; free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nucleosynth.config import Config
from nucleosynth.training.config import Optimisation

Balance = Literal["none", "loss", "sampler"]


class ClassifierConfig(Config):
    """The `classifier` section: the same for every arm of a study."""

    model: str = Field(
        "tf_efficientnetv2_b0",
        description="any timm model, or hf-hub:OWNER/NAME; the paper's is tf_efficientnetv2_s",
    )
    weights: str = Field("none", description="none, hub, lite0, or a .safetensors file")
    balance: Balance = Field(
        "sampler", description="class frequencies: natural, natural with weighted loss, equal"
    )
    steps: int = Field(1000, ge=1)
    batch: int = Field(64, ge=2)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    ema_fraction: float = Field(0.05, ge=0, le=1)
    input: int | None = Field(
        None, ge=16, description="size in px to which tiles are resized; None: not resized"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    jitter: float = Field(1.0, ge=0, description="strength of the stain jitter; 0 is off")
    views: int = Field(8, ge=1, le=8, description="flips and rotations averaged in evaluation")
    seeds: int = Field(3, ge=1)

    @property
    def optimisation(self) -> Optimisation:
        """Return the settings of the training loop."""
        return Optimisation(
            steps=self.steps,
            lr=self.lr,
            weight_decay=self.weight_decay,
            beta2=0.999,
            ema_fraction=self.ema_fraction,
        )
