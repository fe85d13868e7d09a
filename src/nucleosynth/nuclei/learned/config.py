"""Settings of `nucleosynth train segmenter`; free of torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from nucleosynth.config import Config
from nucleosynth.data.tiling import SourceMpp
from nucleosynth.training.config import Budget, Optimisation

NETWORK_MPP = 0.5
"""µm/px at which both networks work."""


def _checked_pattern(pattern: str) -> str:
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if groups - {"image", "part"}:
        raise ValueError("the only groups are `image` and `part`")
    return pattern


class AnnotatedConfig(Config):
    """Images with a label image of the same stem each."""

    name: str = Field(description="what the model card calls them")
    images: str = Field(description="folder of the images, below the data root")
    masks: str = Field(description="folder of the label images, below the data root")
    licence: str = Field("", description="licence, as the source states it")
    pattern: Annotated[str, AfterValidator(_checked_pattern)] | None = Field(
        None,
        description="regular expression on the stem; group `image` names the picture a file is part of, "
        "group `part` its place in `layout`; files that do not match are left out",
    )
    layout: tuple[tuple[int, int], ...] = Field(
        (), description="top and left, px, of each part of a picture: parts are put together before training"
    )
    mpp: SourceMpp = Field(None, description="µm/px of the images")
    diameter: float | None = Field(
        None,
        gt=0,
        description="µm: where mpp is unknown, each image is scaled so that its median nucleus has it",
    )
    share: float = Field(1.0, gt=0, description="how often it is drawn, relative to the other sources")
    validation: tuple[str, ...] = Field((), description="pictures that are held out, by name")

    @model_validator(mode="after")
    def _one_scale(self) -> AnnotatedConfig:
        if (self.mpp is None) == (self.diameter is None):
            raise ValueError("give `mpp`, or `diameter` where it is unknown")
        return self


class AugmentationConfig(Config):
    """How far training pictures stray from what they were."""

    scale: tuple[float, float] = Field(
        (0.45, 1.2), description="range of the µm/px a crop is drawn at, as a multiple of 0.5"
    )
    stain: float = Field(0.3, ge=0, description="spread of the log strength of haematoxylin and of eosin")
    shift: float = Field(0.05, ge=0, description="spread of an even density added to each")
    colour: float = Field(0.1, ge=0, description="spread of the log density of R, G and B, one by one")
    blur: float = Field(0.2, ge=0, le=1, description="share of the crops blurred, sigma up to 1.2 px")
    noise: float = Field(0.2, ge=0, le=1, description="share of the crops with camera noise, up to 8 of 255")
    blank: float = Field(0.05, ge=0, le=1, description="share of the crops with an empty patch of one colour")


class SegmenterTraining(Budget):
    """The `segmenter` section of a training file: give ``minutes`` or ``steps``."""

    recipe: Literal["embedded", "judge"] = Field(
        description="which network; both are in `learned/network.py`"
    )
    data: tuple[AnnotatedConfig, ...] = Field(min_length=1)
    augmentation: AugmentationConfig = AugmentationConfig()
    crop: int = Field(128, ge=32, multiple_of=8, description="side of a training crop, px of 0.5 µm")
    batch: int = Field(4, ge=1, description="small batches win short runs: more steps in the same time")
    lr: float = Field(2e-3, gt=0)
    ema_fraction: float = Field(0.03, ge=0, le=1)

    @property
    def optimisation(self) -> Optimisation:
        """The settings of the training loop."""
        return Optimisation(
            steps=self.steps, minutes=self.minutes, lr=self.lr, ema_fraction=self.ema_fraction
        )
