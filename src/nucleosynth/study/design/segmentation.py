"""The segmentation arms of a study: a segmenter learns from real and from synthetic tiles; free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nucleosynth.config import Config
from nucleosynth.segmentation.learned.config import NetworkName

SegmentationArm = Literal["real", "synthetic-only", "both"]
SEGMENTATION_ARMS: tuple[SegmentationArm, ...] = ("real", "synthetic-only", "both")
"""Real pairs of tile and mask, synthetic ones alone, and both; each is compared with the first."""


class SegmentationConfig(Config):
    """The `segmentation` section: segmenters that learn from tiles and their masks, one arm each."""

    steps: int = Field(
        0, ge=0, description="of each segmenter, the same in all arms; 0: no segmentation arms"
    )
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)
    dose: float = Field(0.5, gt=0, lt=1, description="expected synthetic share of the crops of `both`")
    recipe: NetworkName = Field("embedded", description="which network learns")
    seeds: int = Field(3, ge=1, description="segmenters per arm and generator")

    def synthetic_share(self, arm: SegmentationArm) -> float:
        """Return the expected synthetic share of an arm's crops."""
        return {"real": 0.0, "synthetic-only": 1.0, "both": self.dose}[arm]


def arm_named(name: str) -> SegmentationArm:
    """Return a segmentation arm by its name."""
    return next(arm for arm in SEGMENTATION_ARMS if arm == name)
