"""The project's own recipe: one model conditioned on class, nuclei mask and stain."""

from __future__ import annotations

from typing import ClassVar

from nucleosynth.diffusion.recipes.base import Recipe


class Unified(Recipe):
    """One model for all classes; class, mask and stain are dropped independently in training."""

    name: ClassVar[str] = "unified"
    architecture: ClassVar[str] = "unified-3"


UNIFIED = Unified()
