"""The atypia dial: how far drawn nuclei are to differ from those that a model learned."""

from __future__ import annotations

from pydantic import Field

from nucleosynth.config import Config


class Dial(Config):
    """Multipliers of what was learned; 1 everywhere draws nuclei like the real ones."""

    size_ratio: float = Field(1.0, ge=0.25, le=4)
    """Of the mean nuclear diameter. Fewer nuclei fit where they are larger; mind the density."""
    anisonucleosis: float = Field(1.0, ge=0, le=4)
    """Of the coefficient of variation of the diameter within a tile; 0 makes the nuclei of a tile alike."""
    irregularity: float = Field(1.0, ge=0, le=4)
    """Of the waves of the contour about its ellipse; 0 draws ellipses."""
    density: float = Field(1.0, ge=0, le=4)
    """Of the number of nuclei per area, as far as they have room."""
