"""Configuration of the generator; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from nucleosynth.config import Config
from nucleosynth.diffusion.recipes import DEFAULT_RECIPE, RECIPES, Objective, RecipeSetting, get_recipe
from nucleosynth.diffusion.recipes.samplers import SamplerName
from nucleosynth.training.config import Budget, Optimisation


class NetworkConfig(Config):
    """The U-Net behind a pixel-unshuffle."""

    unshuffle: int | None = Field(
        None, ge=1, description="None: the recipe's own (unified: 2 up to 64 px, 4 up to 128 px, 8 above)"
    )
    width: int = Field(48, ge=16, multiple_of=8, description="channels at full grid; doubled below")
    multipliers: tuple[int, ...] = Field((1, 2, 4), min_length=1)
    blocks: int = Field(1, ge=1, description="residual blocks per level on the way down")
    embedding: int = Field(256, ge=16)


FROM_SCRATCH, PRIOR = "none", "prior"
PRIORS = ("nucleosynth/tissue-prior", "nucleosynth/tissue-prior-noamibr", "nucleosynth/tissue-prior-40x")
"""The priors that `PRIOR` chooses from: the one of the nearest scale, trained on no held-out patient."""
FINE_TUNING_MINUTES = 10.0
"""Default of `GeneratorConfig` for fine-tuning."""


def _is_usual(data: Mapping[str, Any]) -> bool:
    """Whether a training has recipe, objective and network of the prior, and needs initial weights."""
    own = ("objective", "network", "path")
    return str(data.get("recipe", DEFAULT_RECIPE)) == DEFAULT_RECIPE and not any(data.get(key) for key in own)


class GeneratorConfig(Budget):
    """The `generator` section of a study.

    Give ``minutes`` or ``steps``; with neither, 10 minutes of fine-tuning or 30 from scratch. ``start`` is
    the prior where recipe, objective and network are the usual ones, else none.
    """

    default_minutes = 30.0

    recipe: RecipeSetting = RECIPES.get(DEFAULT_RECIPE)
    objective: Objective | None = Field(None, description="None: the recipe's own")
    mask_scale: float | None = Field(
        None, gt=0, description="factor on the mask channel, for mask-guided; None: 1"
    )
    start: str = Field(
        FROM_SCRATCH,
        min_length=1,
        description="initial weights: none (from scratch), prior (one that comes with the package), or a "
        "trained generator to fine-tune",
    )
    path: str | None = Field(None, description="use this trained generator instead of training one")
    masks: Literal["auto", "none"] = Field("auto", description="auto: use the masks of the tiles")
    seeds: int = Field(1, ge=1)
    passes: int = Field(
        400, ge=1, description="limit of the steps that minutes allow, in passes over the training tiles"
    )
    hold_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="part of the training patients held out for the validation loss; none if fewer than 10",
    )
    batch: int = Field(8, ge=1, description="small batches suit short runs: more steps with the same tiles")
    lr: float = Field(2e-3, gt=0)
    ema_fraction: float = Field(0.05, ge=0, le=1)
    network: NetworkConfig = NetworkConfig()
    p_mean: float = Field(-0.5, description="mean of log sigma in training, for data of unit variance")
    p_std: float = Field(1.2, gt=0)
    drop: float = Field(
        0.1, ge=0, lt=1, description="probability that a condition is dropped, each independently"
    )
    jitter: float = Field(0.5, ge=0, le=1, description="share of the tiles whose stain is jittered")
    crops: bool = Field(True, description="random crops across tiles that touch in their frame")

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        recipe = str(data.get("recipe", ""))
        own = dict(RECIPES.get(recipe).settings) if recipe in RECIPES else {}
        own["start"] = PRIOR if _is_usual(data) else FROM_SCRATCH
        if data.get("start", own["start"]) != FROM_SCRATCH and data.get("steps") is None:
            own["minutes"] = FINE_TUNING_MINUTES
        return {**own, **data}

    @model_validator(mode="after")
    def _fits_recipe(self) -> GeneratorConfig:
        recipe = self.recipe
        if self.mask_scale is not None and not recipe.plain_mask:
            raise ValueError(f"`mask_scale` is of the recipe mask-guided; {recipe} has no plain mask channel")
        if self.masks == "none" and recipe.plain_mask:
            raise ValueError(f"the recipe {recipe} needs masks; leave `masks` at auto")
        if self.drop and not recipe.conditioned:
            raise ValueError(f"the recipe {recipe} drops nothing; leave `drop` at 0")
        return self

    @property
    def predicts(self) -> Objective:
        """The objective of training: given, or the recipe's own."""
        return self.objective or self.recipe.objective

    def optimisation(self, tiles: int) -> Optimisation:
        """Return the settings of the training loop for a number of training tiles."""
        return Optimisation(
            steps=self.steps,
            minutes=self.minutes,
            most_steps=max(1, self.passes * tiles // self.batch),
            lr=self.lr,
            ema_fraction=self.ema_fraction,
        )


class Student(Config):
    """The distillation of a student, as its ``config.json`` records it."""

    teacher: str = Field(description="hash of the weights it was distilled from")
    sigmas: tuple[float, ...] = Field(min_length=1, description="noise levels of its steps, from high to low")


class InitialWeights(Config):
    """The initial weights of a fine-tuned generator, as its ``config.json`` records them."""

    generator: str = Field(description="hash of the weights")
    name: str | None = Field(None, description="name of a prior of the package; None: another generator")
    patients: tuple[str, ...] = Field(
        description="their training patients, those of their own initial weights too"
    )


class DistillConfig(Budget):
    """The `distill` section: a student of few steps. Give ``minutes`` or ``steps``; else 10 minutes."""

    default_minutes = 10.0

    sigmas: tuple[float, ...] = Field(
        (40.0, 0.5), min_length=1, description="noise levels of the student's steps, from high to low"
    )
    batch: int = Field(8, ge=1)
    lr: float = Field(3e-4, gt=0)
    ema_fraction: float = Field(0.05, ge=0, le=1)
    drop: float = Field(0.1, ge=0, lt=1, description="probability that a condition is dropped")
    jitter: float = Field(0.5, ge=0, le=1, description="share of the tiles whose stain is jittered")
    adversarial: float = Field(
        1.0, ge=0, description="weight of the adversarial loss; 0 trains no discriminator"
    )
    fidelity: float = Field(1.0, ge=0, description="weight of the distance to the tile that was noised")
    penalty: float = Field(0.02, ge=0, description="weight of the discriminator's gradient penalty")
    width: int = Field(32, ge=8, description="channels of the discriminator's finest grid")

    @field_validator("sigmas", mode="before")
    @classmethod
    def _one_step(cls, value: object) -> object:
        return (value,) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _sound(self) -> DistillConfig:
        if list(self.sigmas) != sorted(set(self.sigmas), reverse=True) or self.sigmas[-1] <= 0:
            raise ValueError("`sigmas` must fall from step to step and stay above 0")
        return self

    @property
    def optimisation(self) -> Optimisation:
        """Return the settings of the training loop."""
        return Optimisation(
            steps=self.steps,
            minutes=self.minutes,
            lr=self.lr,
            ema_fraction=self.ema_fraction,
            beta1=0.5,
            clip=10.0,
        )


class SynthesisConfig(Config):
    """The `synthesis` section: how large the pool of synthetic tiles is and how it is sampled.

    ``sampler``, ``steps`` and ``sigma_scale`` are the generator's own where they are not set.
    """

    tiles: int = Field(1000, ge=1)
    labels: Literal["as-train", "balanced"] = "as-train"
    sampler: SamplerName | None = None
    sigma_scale: float | None = Field(
        None,
        ge=1,
        le=4,
        description="factor on the noise level given to the denoiser, at low noise; 1 is off",
    )
    steps: int | None = Field(None, ge=1, le=1000)
    guidance: dict[Literal["class", "mask", "auto"], float] = Field(
        default_factory=dict, description="weights; 1 is off"
    )
    guidance_interval: tuple[float, float] | None = Field(
        None, description="lowest and highest noise level at which guidance is on; None: all levels"
    )
    variation: float | None = Field(
        None,
        gt=0,
        description="noise level to which the donor is noised and then denoised; None: from noise alone",
    )
    batch: int = Field(64, ge=1)

    @property
    def weights(self) -> dict[str, float]:
        """The guidance weights by term."""
        return {str(term): weight for term, weight in self.guidance.items()}

    @property
    def sampling(self) -> dict[str, Any]:
        """The settings of drawing from noise, as a `sampling.plan.SamplingRequest`."""
        return {
            "sampler": self.sampler,
            "steps": self.steps,
            "sigma_scale": self.sigma_scale,
            "guidance": self.weights,
            "guidance_interval": self.guidance_interval,
        }


def stated_sampling(synthesis: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """Return the data of a section ``synthesis`` with the defaults of a recipe written out.

    A protocol states them, so that it stays what it is when defaults change.
    """
    given = {key: value for key, value in synthesis.items() if value is not None}
    return {**get_recipe(recipe).defaults(given.get("sampler")), **given}
