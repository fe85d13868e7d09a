"""The atypia dial: factors by which drawn nuclei differ from those of the model."""

from __future__ import annotations

from pydantic import Field

from nucleosynth.config import Config


class Dial(Config):
    """Factors on the learned statistics; with 1 everywhere, nuclei are drawn like the real ones."""

    size_ratio: float = Field(1.0, ge=0.25, le=4)
    """Factor on the mean nuclear diameter. Fewer nuclei fit if they are larger, so adjust the density."""
    anisonucleosis: float = Field(1.0, ge=0, le=4)
    """Factor on the variation of the diameter within a tile; with 0 all nuclei of a tile have one size."""
    irregularity: float = Field(1.0, ge=0, le=4)
    """Factor on the waves of the contour around its ellipse; 0 draws ellipses."""
    density: float = Field(1.0, ge=0, le=4)
    """Factor on the number of nuclei per area, as far as there is room."""
