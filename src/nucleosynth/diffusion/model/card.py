"""What must be known of a model to use it, and the untrained denoiser that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nucleosynth.config import parse
from nucleosynth.diffusion.config import InitialWeights, NetworkConfig, Student
from nucleosynth.diffusion.model.denoiser import Denoiser, EpsilonDenoiser
from nucleosynth.diffusion.model.per_class import PerClass
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.model.unet import UNet
from nucleosynth.diffusion.recipes import RECIPES, Objective, RecipeName
from nucleosynth.errors import InputError


@dataclass(frozen=True)
class ModelCard:
    """What must be known to use a generator: its world, the patients it saw and how it is built.

    ``seen`` are the classes (indices) that had training tiles, None where that was not recorded;
    ``objective`` None is the recipe's own; ``student`` is None unless it was distilled, ``start`` None where
    training started from nothing. ``patients`` are those of its own training.
    """

    classes: list[str]
    size: int
    mpp: float | None
    masks: bool
    patients: list[str]
    content_hash: str
    network: NetworkConfig
    steps: int
    recipe: RecipeName = "unified"
    objective: Objective | None = None
    mask_scale: float | None = None
    seen: list[int] | None = None
    student: Student | None = None
    start: InitialWeights | None = None

    @property
    def unshuffle(self) -> int:
        """Folding factor of its network: given, the recipe's own or that of the tile size."""
        own = RECIPES[self.recipe].unshuffle
        return self.network.unshuffle or own or default_unshuffle(self.size)

    @property
    def trained_on(self) -> list[str]:
        """All patients that its weights depend on, those of its start included."""
        return sorted({*self.patients, *(self.start.patients if self.start else ())})

    def trained_on_among(self, among: Iterable[str]) -> list[str]:
        """Return the patients of its training, and those ``among`` some others that its start saw."""
        return sorted({*self.patients, *(set(among) & set(self.trained_on))})

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``config.json``."""
        architecture = RECIPES[self.recipe].architecture
        parts = {"network": self.network.model_dump(mode="json")}
        for name in ("student", "start"):
            if getattr(self, name) is not None:
                parts[name] = getattr(self, name).model_dump(mode="json")
        return {"architecture": architecture, **vars(self), **parts}

    @classmethod
    def from_json(cls, data: object, *, source: Path) -> ModelCard:
        """Read the content of ``config.json``; another architecture and a missing field are named."""
        known = [recipe.architecture for recipe in RECIPES.values()]
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
        card = cls(**values)
        if card.recipe not in RECIPES or RECIPES[card.recipe].architecture != found:
            raise InputError(f"{source}: recipe {card.recipe!r} does not make {found!r}; restore the file")
        return card


def build_denoiser(
    card: ModelCard,
    *,
    mean: Tensor | None = None,
    std: Tensor | None = None,
    spectrum: Spectrum | None = None,
) -> Denoiser:
    """Build an untrained denoiser for a card; refuses a tile size that the network cannot fold.

    Without statistics of the training tiles it waits for weights to be loaded into it. Prediction of the
    noise takes none: its pictures lie in [-1, 1].
    """
    recipe = RECIPES[card.recipe]
    network = _network(card)
    denoiser: Denoiser
    if (card.objective or recipe.objective) == "epsilon":
        denoiser = EpsilonDenoiser(network)
    else:
        denoiser = Denoiser(
            network,
            mean=torch.zeros(3) if mean is None else mean,
            std=torch.ones(3) if std is None else std,
            spectrum=spectrum or Spectrum.flat(card.size),
        )
    return denoiser.to(memory_format=torch.channels_last)


def load_tensors(denoiser: Denoiser, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Put tensors into a denoiser; one that is missing, foreign or of another shape is named."""
    expected = denoiser.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise InputError(f"{source}: tensor `{name}` is missing; restore the file or train again")
        if tensors[name].shape != value.shape:
            raise InputError(
                f"{source}: tensor `{name}` is {tuple(tensors[name].shape)}, expected {tuple(value.shape)}; "
                "config.json and weights are of different models"
            )
    foreign = sorted(set(tensors) - set(expected))
    if foreign:
        raise InputError(
            f"{source}: tensor `{foreign[0]}` is foreign; config.json and weights are of different models"
        )
    denoiser.load_state_dict(dict(tensors))


def default_unshuffle(size: int) -> int:
    """Return the folding factor for a tile size: 2 up to 64 px, 4 up to 128 px, 8 above."""
    return 2 if size <= 64 else 4 if size <= 128 else 8


def _network(card: ModelCard) -> nn.Module:
    recipe, network = RECIPES[card.recipe], card.network
    factor = card.unshuffle
    grain = factor * 2 ** (len(network.multipliers) - 1)
    if card.size % grain:
        raise InputError(
            f"generator: tile size {card.size} px must be a multiple of {grain} px for this network"
        )

    def build() -> UNet:
        return UNet(
            classes=len(card.classes),
            unshuffle=factor,
            width=network.width,
            multipliers=network.multipliers,
            blocks=network.blocks,
            embedding=network.embedding,
            planes=recipe.planes,
            conditioned=recipe.conditioned,
            mask_scale=card.mask_scale or 1.0,
        )

    return PerClass(build, len(card.classes)) if recipe.per_class else build()
