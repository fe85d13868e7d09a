"""The interface of a recipe, with everything that depends on the choice of recipe; free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nucleosynth.diffusion.recipes.samplers import SAMPLERS, STUDENT_SAMPLER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nucleosynth.data.tileset import TileSet

    Rows = npt.NDArray[np.int64]

Objective = Literal["edm", "epsilon"]


class Recipe:
    """One way to train a generator, and to sample it.

    Attributes
    ----------
    name
        As settings and the model's ``config.json`` write it.
    architecture
        Written into ``config.json``; a model of another architecture is not loaded.
    objective
        ``edm``: preconditioned by the spectrum of tissue, log-normal noise levels. ``epsilon``: predicts the
        noise, at the uniformly drawn steps of the linear schedule.
    planes
        Number of mask planes of `conditioning.mask_planes` that the network reads.
    conditioned
        Conditioned on class, stain and, at every scale, the mask. Each can be dropped, so each can be used
        for guidance.
    one_class
        Each batch, and each network, is of one class.
    network
        ``"module:function"`` that builds the untrained network of a card.
    sampler
        Name of the default sampler.
    settings
        Defaults of `GeneratorConfig` that differ from those of ``unified``.
    """

    name: ClassVar[str]
    architecture: ClassVar[str]
    objective: ClassVar[Objective] = "edm"
    planes: ClassVar[int] = 4
    conditioned: ClassVar[bool] = True
    one_class: ClassVar[bool] = False
    network: ClassVar[str] = "nucleosynth.diffusion.model.build:unet"
    sampler: ClassVar[str] = "spectral"
    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<recipe {self.name}>"

    @property
    def reads_classes(self) -> bool:
        """Whether the class of a tile changes what is drawn."""
        return self.conditioned or self.one_class

    @property
    def plain_mask(self) -> bool:
        """Whether the mask is one plain channel of the input, without which nothing can be drawn."""
        return self.planes == 1

    def unshuffle(self, size: int) -> int:
        """Return the folding factor for a tile size in px: 2 up to 64 px, 4 up to 128 px, 8 above."""
        return 2 if size <= 64 else 4 if size <= 128 else 8

    def usable_rows(self, tiles: TileSet, rows: Rows) -> Rows:  # noqa: ARG002
        """Return the rows with the labels or masks that the recipe needs; here all of them."""
        return rows

    def require_rows(self, tiles: TileSet, rows: Rows) -> None:
        """Refuse training rows that are too few for this recipe."""

    def require_conditions(self, labels: Sequence[int], *, masks: bool) -> None:
        """Refuse a request for tiles without a condition that the recipe needs."""

    def defaults(self, sampler: str | None = None, *, levels: int | None = None) -> dict[str, Any]:
        """Return the defaults of ``sampler``, ``steps`` and ``sigma_scale``.

        Parameters
        ----------
        sampler
            The given sampler; None: the recipe's own.
        levels
            For a student: the number of noise levels it was tuned for. It uses all of them, with its own
            sampler.

        Raises
        ------
        InputError
            The sampler does not exist.
        """
        own = self.sampler if levels is None else STUDENT_SAMPLER
        chosen = SAMPLERS.get(own if sampler is None else sampler)
        steps = chosen.steps if levels is None else levels
        return {"sampler": chosen.name, "steps": steps, "sigma_scale": 1.0}

    @property
    def preview_sampling(self) -> Mapping[str, Any]:
        """Return the sampling of previews during training: the default, unless it takes too many steps."""
        return {}


class PlainDDPM(Recipe):
    """A DDPM as in Ho et al. 2020: no weight average, no augmentation of stain, no dropped conditions."""

    objective: ClassVar[Objective] = "epsilon"
    conditioned: ClassVar[bool] = False
    sampler: ClassVar[str] = "ddpm"
    settings: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"ema_fraction": 0.0, "drop": 0.0, "jitter": 0.0, "hold_out": 0.0, "crops": False}
    )

    def unshuffle(self, size: int) -> int:  # noqa: ARG002
        """Return 1: pixels are not folded."""
        return 1

    @property
    def preview_sampling(self) -> Mapping[str, Any]:
        """Return fewer steps: a thousand are too many for a preview."""
        return {"sampler": "dpmpp-2m", "steps": 20}
