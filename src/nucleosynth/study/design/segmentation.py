"""The segmentation arms of a study: segmenters trained on real and synthetic tiles; free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nucleosynth.config import Config
from nucleosynth.segmentation.learned.config import NetworkName

SegmentationArm = Literal["real", "synthetic-only", "both"]
SEGMENTATION_ARMS: tuple[SegmentationArm, ...] = ("real", "synthetic-only", "both")
"""Training on real pairs of tile and mask, on synthetic pairs, and on both; compared with the first."""


class SegmentationConfig(Config):
    """The `segmentation` section: segmenters trained on tiles and their masks, one arm per training set."""

    steps: int = Field(0, ge=0, description="training steps, the same in all arms; 0: no segmentation arms")
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)
    dose: float = Field(0.5, gt=0, lt=1, description="expected synthetic share of the crops of `both`")
    recipe: NetworkName = Field("embedded", description="the network that is trained")
    seeds: int = Field(3, ge=1, description="segmenters per arm and generator")

    def synthetic_share(self, arm: SegmentationArm) -> float:
        """Return the expected synthetic share of an arm's crops."""
        return {"real": 0.0, "synthetic-only": 1.0, "both": self.dose}[arm]


def arm_named(name: str) -> SegmentationArm:
    """Return the segmentation arm with a name."""
    return next(arm for arm in SEGMENTATION_ARMS if arm == name)
