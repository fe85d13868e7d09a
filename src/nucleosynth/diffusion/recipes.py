"""Recipes: what a generator predicts, what it is told, and how it is sampled by default; free of torch.

`unified` is this project's own. `mask-guided` and `per-class` are those of the paper that it answers: a plain
DDPM (Ho et al. 2020, "Denoising diffusion probabilistic models") with the mask concatenated to its input, and
one unconditional DDPM for each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nucleosynth.data.tileset import TileSet

RecipeName = Literal["unified", "mask-guided", "per-class"]
Objective = Literal["edm", "epsilon"]
SamplerName = Literal["spectral", "dpmpp-2m", "dpmpp-2m-sde", "heun", "ddim", "ddpm", "consistency"]

SAMPLER_NAMES: tuple[str, ...] = get_args(SamplerName)

STEPS: Mapping[str, int] = MappingProxyType({"ddim": 50, "ddpm": 1000, "consistency": 2})
OF_STUDENTS: SamplerName = "consistency"
USUAL_STEPS = 10


@dataclass(frozen=True)
class Recipe:
    """One way to train a generator.

    Parameters
    ----------
    architecture
        Written into the model's ``config.json``; a model of another one is not loaded.
    objective
        ``edm``: preconditioned by the spectrum of tissue, log-normal noise levels. ``epsilon``: predicts the
        noise, at the uniformly drawn steps of the linear schedule.
    planes
        Mask planes that the network reads, of those of `conditioning.mask_planes`.
    conditioned
        Told of class, stain and, at every scale, the mask; each may be left out, so each can guide.
    per_class
        One network for each class, trained on the tiles of that class alone.
    unshuffle
        Default folding factor; None follows the tile size.
    settings
        Defaults of `GeneratorConfig` that differ from those of ``unified``.
    """

    architecture: str
    objective: Objective
    planes: int
    conditioned: bool
    per_class: bool
    unshuffle: int | None
    sampler: SamplerName
    sigma_scale: float
    settings: Mapping[str, Any] = field(default_factory=dict)


PLAIN = MappingProxyType({"ema_fraction": 0.0, "drop": 0.0, "jitter": 0.0, "hold_out": 0.0, "crops": False})

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "unified": Recipe("unified-3", "edm", 4, True, False, None, "spectral", 1.0),
        "mask-guided": Recipe("mask-guided-2", "epsilon", 1, False, False, 1, "ddpm", 1.0, PLAIN),
        "per-class": Recipe("per-class-2", "epsilon", 0, False, True, 1, "ddpm", 1.0, PLAIN),
    }
)


def sampling_defaults(recipe: str, sampler: str | None = None) -> dict[str, Any]:
    """Return ``sampler``, ``steps`` and ``sigma_scale``: the sampler of the recipe, the steps of the sampler.

    Raises
    ------
    InputError
        A recipe or sampler that does not exist.
    """
    if recipe not in RECIPES:
        raise InputError(f"unknown recipe {recipe!r}; known are {', '.join(RECIPES)}")
    chosen = sampler or RECIPES[recipe].sampler
    if chosen not in SAMPLER_NAMES:
        raise InputError(f"sample: unknown sampler {chosen!r}; known are {', '.join(SAMPLER_NAMES)}")
    return {
        "sampler": chosen,
        "steps": STEPS.get(chosen, USUAL_STEPS),
        "sigma_scale": 1.0 if chosen == OF_STUDENTS else RECIPES[recipe].sigma_scale,
    }


def usable_rows(tiles: TileSet, rows: npt.NDArray[np.int64], recipe: str) -> npt.NDArray[np.int64]:
    """Return the rows that carry what the recipe cannot do without: a class, a mask, or nothing."""
    if RECIPES[recipe].per_class:
        return rows[tiles.labels[rows] >= 0]
    if RECIPES[recipe].planes == 1:
        return rows[tiles.has_mask[rows]]
    return rows
