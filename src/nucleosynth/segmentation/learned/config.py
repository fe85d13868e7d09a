"""Settings of `nucleosynth train segmenter`; free of torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from nucleosynth.config import Config, known_in
from nucleosynth.data.readers.pictures import PicturesConfig
from nucleosynth.registry import Registry
from nucleosynth.training.config import Budget, Optimisation

NETWORK_MPP = 0.5
"""µm/px at which all networks work."""

NETWORKS: Registry[Any] = Registry(
    "network",
    {
        "embedded": "nucleosynth.segmentation.learned.network:EmbeddedNet",
        "judge": "nucleosynth.segmentation.learned.network:JudgeNet",
    },
)
"""The networks by name, each a `network.SegmenterNet`; adding one is one class and one line."""

NetworkName = Annotated[str, known_in(NETWORKS)]


class AnnotatedConfig(PicturesConfig):
    """Annotated pictures for training a segmenter."""

    name: str = Field(description="their name in the model card")
    share: float = Field(1.0, gt=0, description="how often they are drawn, relative to other parts")
    validation: tuple[str, ...] = Field((), description="pictures that are held out, by name")


class AugmentationConfig(Config):
    """Strengths of the augmentation of training pictures."""

    scale: tuple[float, float] = Field(
        (0.45, 1.2), description="range of the µm/px a crop is drawn at, as a multiple of 0.5"
    )
    stain: float = Field(0.3, ge=0, description="spread of the log strength of haematoxylin and of eosin")
    shift: float = Field(0.05, ge=0, description="spread of an even density added to each")
    colour: float = Field(0.1, ge=0, description="spread of the log density of R, G and B, one by one")
    blur: float = Field(0.2, ge=0, le=1, description="share of the crops blurred, sigma up to 1.2 px")
    noise: float = Field(0.2, ge=0, le=1, description="share of the crops with camera noise, up to 8 of 255")
    blank: float = Field(0.05, ge=0, le=1, description="share of the crops with an empty patch of one colour")


class NetworkTraining(Budget):
    """Training settings of a segmenter's network, for any pictures."""

    recipe: NetworkName = Field(description="which network, by its name in `NETWORKS`")
    augmentation: AugmentationConfig = AugmentationConfig()
    crop: int = Field(128, ge=32, multiple_of=8, description="side of a training crop, px of 0.5 µm")
    batch: int = Field(4, ge=1, description="small batches suit short runs: more steps in the same time")
    lr: float = Field(2e-3, gt=0)
    ema_fraction: float = Field(0.03, ge=0, le=1)

    @property
    def optimisation(self) -> Optimisation:
        """Return the settings of the training loop."""
        return Optimisation(
            steps=self.steps, minutes=self.minutes, lr=self.lr, ema_fraction=self.ema_fraction
        )


class SegmenterTraining(NetworkTraining):
    """The `segmenter` section of a training file: give ``minutes`` or ``steps``."""

    data: tuple[AnnotatedConfig, ...] = Field(min_length=1)
