"""Recipes, by name: what a generator predicts, what it is conditioned on, how it is sampled; free of torch.

`unified` is this project's own. `mask-guided` and `per-class` are those of the paper that it extends: a plain
DDPM (Ho et al. 2020, "Denoising diffusion probabilistic models") with the mask concatenated to its input, and
one unconditional DDPM for each class.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer

from nucleosynth.diffusion.recipes.base import Objective, Recipe
from nucleosynth.errors import InputError
from nucleosynth.registry import Registry

RECIPES: Registry[Recipe] = Registry(
    "recipe",
    {
        "unified": "nucleosynth.diffusion.recipes.unified:UNIFIED",
        "mask-guided": "nucleosynth.diffusion.recipes.mask_guided:MASK_GUIDED",
        "per-class": "nucleosynth.diffusion.recipes.per_class:PER_CLASS",
    },
)
DEFAULT_RECIPE = "unified"


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Return a recipe by its name, or the recipe itself.

    Raises
    ------
    InputError
        The name is unknown; the message lists the known ones.
    """
    return recipe if isinstance(recipe, Recipe) else RECIPES.get(recipe)


def _read(recipe: object) -> object:
    try:
        return get_recipe(recipe)  # type: ignore[arg-type]
    except InputError as error:
        raise ValueError(str(error)) from None


RecipeSetting = Annotated[
    InstanceOf[Recipe], BeforeValidator(_read), PlainSerializer(lambda recipe: recipe.name, return_type=str)
]
"""A recipe in a configuration: its name in files."""

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Objective", "Recipe", "RecipeSetting", "get_recipe"]
