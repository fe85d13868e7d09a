"""The card of a generator: data, training patients and architecture; free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from nucleosynth.config import parse
from nucleosynth.diffusion.config import InitialWeights, NetworkConfig, Student
from nucleosynth.diffusion.recipes import DEFAULT_RECIPE, RECIPES, Objective, Recipe, get_recipe
from nucleosynth.diffusion.recipes.unified import UNIFIED
from nucleosynth.errors import InputError


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to use a generator: its data, its training patients and its architecture.

    Attributes
    ----------
    patients
        Patients of its own training, without those of the initial weights.
    recipe
        May be given by name.
    objective
        None: the recipe's own.
    seen
        Classes (indices) with training tiles; None if not recorded.
    student
        None unless it was distilled.
    start
        The initial weights; None if trained from scratch.
    """

    classes: list[str]
    size: int
    mpp: float | None
    masks: bool
    patients: list[str]
    content_hash: str
    network: NetworkConfig
    steps: int
    recipe: Recipe = UNIFIED
    objective: Objective | None = None
    mask_scale: float | None = None
    seen: list[int] | None = None
    student: Student | None = None
    start: InitialWeights | None = None

    def __post_init__(self) -> None:
        """Replace the name of a recipe by the recipe."""
        object.__setattr__(self, "recipe", get_recipe(self.recipe))

    @property
    def unshuffle(self) -> int:
        """Folding factor of the network: given, or the recipe's own for the tile size."""
        return self.network.unshuffle or self.recipe.unshuffle(self.size)

    @property
    def predicts(self) -> Objective:
        """The training objective: given, or the recipe's own."""
        return self.objective or self.recipe.objective

    @property
    def trained_on(self) -> list[str]:
        """All patients that the weights depend on, including those of the initial weights."""
        return sorted({*self.patients, *(self.start.patients if self.start else ())})

    def trained_on_among(self, among: Iterable[str]) -> list[str]:
        """Return its own training patients, and those of its initial weights that are ``among`` others."""
        return sorted({*self.patients, *(set(among) & set(self.trained_on))})

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``config.json``."""
        parts: dict[str, Any] = {"recipe": self.recipe.name, "network": self.network.model_dump(mode="json")}
        for name in ("student", "start"):
            if getattr(self, name) is not None:
                parts[name] = getattr(self, name).model_dump(mode="json")
        return {"architecture": self.recipe.architecture, **vars(self), **parts}

    @classmethod
    def from_json(cls, data: object, *, source: Path) -> ModelCard:
        """Read the content of ``config.json``; refuse another architecture or a missing field."""
        known = [RECIPES.get(name).architecture for name in RECIPES]
        found = data.get("architecture") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or found not in known:
            raise InputError(
                f"{source}: architecture {found!r} is not one of {', '.join(known)}; "
                "train the generator again with this version"
            )
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        missing = [f.name for f in fields(cls) if f.name not in values and f.default is MISSING]
        if missing:
            raise InputError(f"{source}: `{missing[0]}` is missing; restore the file or train again")
        values["network"] = parse(NetworkConfig, data["network"], source=str(source))
        for name, kind in (("student", Student), ("start", InitialWeights)):
            if values.get(name) is not None:
                values[name] = parse(kind, data[name], source=f"{source}: {name}")
        recipe = values.get("recipe", DEFAULT_RECIPE)
        if recipe not in RECIPES or RECIPES.get(recipe).architecture != found:
            raise InputError(f"{source}: recipe {recipe!r} does not make {found!r}; restore the file")
        return cls(**values)


SAME = ("recipe", "size", "classes", "masks", "mpp")
"""Fields that an earlier model of the same training shares with the last one."""


def require_same_training(card: ModelCard, early: ModelCard, *, name: str) -> None:
    """Refuse an earlier model of another training; the message names the difference."""
    for key in SAME:
        here, there = getattr(card, key), getattr(early, key)
        if here != there:
            raise InputError(
                f"{name}: its {key} is {_shown(there)}, the generator's {_shown(here)}; "
                "guidance.auto needs an earlier model of the same training"
            )
    leaked = sorted(set(early.trained_on) - set(card.trained_on))
    if leaked:
        raise InputError(
            f"{name}: was trained on patient {leaked[0]}, the generator was not; give an earlier model "
            "of the same training"
        )


def _shown(value: object) -> str:
    return repr(value.name if isinstance(value, Recipe) else value)
