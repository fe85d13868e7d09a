"""Variants of the generator for `ablations`: settings, and changes of the network that the product lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.model.unet import Features, ResidualBlock, UNet
from nucleosynth.diffusion.recipes import get_recipe
from nucleosynth.diffusion.training.batches import TrainingBatches
from nucleosynth.diffusion.training.generator import DenoisingLearner, statistics, training_batches
from nucleosynth.seeds import torch_seed
from nucleosynth.training.devices import choose_device

CPU = choose_device("cpu")
Alter = Callable[[Denoiser], Denoiser]


@dataclass(frozen=True)
class Variant:
    """One thing changed.

    ``changes`` of the settings, ``alter`` of the denoiser, ``stain`` False: never conditioned on it;
    ``costs``: a step takes another time than that of the default; ``seed`` is added to that of training.
    """

    name: str
    question: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    alter: Alter | None = None
    stain: bool = True
    costs: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """A variant ready to be trained."""

    config: GeneratorConfig
    learner: DenoisingLearner
    card: ModelCard
    build: Callable[[], Denoiser]

    def generator(self, weights: dict[str, Tensor]) -> Generator:
        """Return it with these weights."""
        denoiser = self.build()
        denoiser.load_state_dict(weights)
        return Generator(denoiser, self.card).to("cpu")


def prepare(variant: Variant, tiles: TileSet, patients: Sequence[str], *, seed: int) -> Prepared:
    """Build a variant for the tiles of some patients."""
    changes = dict(variant.changes)
    network = {"unshuffle": get_recipe("unified").unshuffle(tiles.size[0]), **changes.pop("network", {})}
    config = GeneratorConfig.model_validate({"steps": 1, **changes, "network": network})
    rows = tiles.rows_of(patients)
    card = ModelCard(
        tiles.classes, tiles.size[0], tiles.mpp, masks=tiles.masks is not None, patients=sorted(patients),
        content_hash=tiles.content_hash, network=config.network, steps=0,
    )  # fmt: skip
    measured = statistics(tiles, rows)

    def build() -> Denoiser:
        torch.manual_seed(torch_seed(seed, "weights"))
        denoiser = build_denoiser(card, **measured)
        return denoiser if variant.alter is None else variant.alter(denoiser)

    batches = training_batches(tiles, rows, config, use_masks=card.masks, seed=seed)
    if not variant.stain:
        batches = WithoutStain(**vars(batches))
    return Prepared(config, DenoisingLearner(build(), batches, CPU), card, build)


@dataclass(frozen=True)
class WithoutStain(TrainingBatches):
    """Never conditioned on the stain."""

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor, Condition]:
        """See `TrainingBatches`."""
        clean, sigma, noise, condition = super().draw(step)
        return clean, sigma, noise, condition.without("stain")


def flat(denoiser: Denoiser) -> Denoiser:
    """Plain EDM: all modes taken to have unit variance."""
    spectrum = Spectrum.flat(denoiser.spectrum.variance.shape[-1])
    denoiser.spectrum = spectrum
    return denoiser


def entry_only(denoiser: Denoiser) -> Denoiser:
    """Planes enter with the pixels and nowhere else."""
    for block in _blocks(denoiser):
        block.planes = None
    return denoiser


def dropout(denoiser: Denoiser) -> Denoiser:
    """Drop a tenth before the second convolution of each block."""
    for block in _blocks(denoiser):
        block.conv2.register_forward_pre_hook(
            lambda module, entering: F.dropout(entering[0], 0.1, training=module.training)
        )
    return denoiser


def _blocks(denoiser: Denoiser) -> list[ResidualBlock]:
    return [module for module in denoiser.modules() if isinstance(module, ResidualBlock)]


class AttentiveBlock(nn.Module):
    """A residual block and self-attention over its grid after it."""

    def __init__(self, block: ResidualBlock, channels: int) -> None:
        super().__init__()
        self.block = block
        self.norm = nn.GroupNorm(32, channels)
        self.mix = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    @property
    def planes(self) -> nn.Conv2d | None:
        """Those of the block."""
        return self.block.planes

    def forward(self, x: Tensor, embedding: Tensor, added: Tensor | None) -> Tensor:
        """See `ResidualBlock`."""
        h: Tensor = self.block(x, embedding, added)
        n, c, height, width = h.shape
        q, k, v = self.mix(self.norm(h)).reshape(n, 3, 4, c // 4, height * width).transpose(-1, -2).unbind(1)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, height, width)
        mixed: Tensor = h + self.out(attended)
        return mixed


def attention(denoiser: Denoiser) -> Denoiser:
    """Attention on the smallest grid."""
    network = denoiser.network
    assert isinstance(network, UNet)
    block = network.middle
    network.middle = AttentiveBlock(block, block.conv2.out_channels)  # type: ignore[assignment]
    return denoiser


class SelfConditioned(Denoiser):
    """A denoiser conditioned on its own last estimate (Chen et al. 2023, "Analog bits").

    In sampling this is the estimate of the call before, if it was for as many tiles at a higher noise level.
    """

    def __init__(self, plain: Denoiser) -> None:
        mean, std = plain.mean.flatten(), plain.std.flatten()  # type: ignore[operator]
        super().__init__(plain.network, mean=mean, std=std, spectrum=plain.spectrum)
        network = plain.network
        assert isinstance(network, UNet)
        old, folded = network.entry, 3 * network.unshuffle**2
        network.entry = nn.Conv2d(old.in_channels + folded, old.out_channels, 3, padding=1)
        self._before: tuple[float, Tensor] | None = None

    def forward(self, x: Tensor, sigma: Tensor, condition: Condition | Features) -> Tensor:
        """Estimate the clean picture, see `Denoiser`."""
        network = self.network
        assert isinstance(network, UNet)
        features = network.features(condition) if isinstance(condition, Condition) else condition
        nothing = torch.zeros_like(x)
        if self.training:
            previous = nothing
            if float(torch.rand(())) < 0.5:
                with torch.no_grad():
                    previous = self._estimate(x, sigma, features, nothing)
            return self._estimate(x, sigma, features, previous)
        level, previous = float(sigma[0]), nothing
        if self._before is not None and self._before[0] > level and self._before[1].shape == x.shape:
            previous = self._before[1]
        estimate = self._estimate(x, sigma, features, previous)
        self._before = (level, estimate)
        return estimate

    def _estimate(self, x: Tensor, sigma: Tensor, features: Features, previous: Tensor) -> Tensor:
        assert features.entry is not None
        network = self.network
        assert isinstance(network, UNet)
        folded = F.pixel_unshuffle(previous, network.unshuffle)
        estimate: Tensor = super().forward(
            x, sigma, replace(features, entry=torch.cat([features.entry, folded], dim=1))
        )
        return estimate


class Weighted(Denoiser):
    """Other weights of the loss: noise levels as for unit variance, modes by what is left of them.

    ``left`` is the error of the best linear denoiser; the default is levels 0.5, modes 0.5.
    """

    levels: float
    modes: float

    def weight(self, s: Tensor) -> Tensor:
        """Estimate the clean picture, see `Denoiser`."""
        v = self.spectrum.variance
        left = v * s**2 / (v + s**2)
        return ((s**2 + 1) / s**2).pow(self.levels) * left.pow(-self.modes)


def weighted(levels: float, modes: float) -> Alter:
    """Return the change of the loss's weights."""

    def alter(denoiser: Denoiser) -> Denoiser:
        mean, std = denoiser.mean.flatten(), denoiser.std.flatten()  # type: ignore[operator]
        changed = Weighted(denoiser.network, mean=mean, std=std, spectrum=denoiser.spectrum)
        changed.levels, changed.modes = levels, modes
        return changed

    return alter


def _network(**changes: Any) -> dict[str, Any]:
    return {"network": changes}


VARIANTS: tuple[Variant, ...] = (
    Variant("default", ""),
    Variant("seed 1", "weights and batches of another seed", costs=False, seed=1),
    Variant("seed 2", "weights and batches of another seed", costs=False, seed=2),
    Variant("unshuffle 1", "folding", _network(unshuffle=1)),
    Variant("unshuffle 4", "folding", _network(unshuffle=4)),
    Variant("width 32", "width", _network(width=32)),
    Variant("width 64", "width", _network(width=64)),
    Variant("2 blocks per level", "depth", _network(blocks=2)),
    Variant("4 levels", "depth", _network(multipliers=(1, 2, 4, 4))),
    Variant("attention", "attention on the 8 px grid", alter=attention),
    Variant("planes at the entry only", "planes at every grid", alter=entry_only),
    Variant("self-conditioning", "sees its last estimate", alter=SelfConditioned),
    Variant("p_mean -1.2", "noise levels", {"p_mean": -1.2}, costs=False),
    Variant("p_mean 0", "noise levels", {"p_mean": 0.0}, costs=False),
    Variant("flat spectrum", "plain EDM", alter=flat, costs=False),
    Variant("levels 1, modes 0", "loss weight", alter=weighted(1.0, 0.0), costs=False),
    Variant("levels 0, modes 0.5", "loss weight", alter=weighted(0.0, 0.5), costs=False),
    Variant("levels 0, modes 0.75", "loss weight", alter=weighted(0.0, 0.75), costs=False),
    Variant("levels 0, modes 1", "loss weight", alter=weighted(0.0, 1.0), costs=False),
    Variant("no stain", "stain descriptor", {"jitter": 0.0}, stain=False, costs=False),
    Variant("no crops", "crops across neighbours", {"crops": False}, costs=False),
    Variant("no jitter", "stain jitter", {"jitter": 0.0}, costs=False),
    Variant("dropout 0.1", "dropout", alter=dropout),
    Variant("no EMA", "weight average", {"ema_fraction": 0.0}, costs=False),
    Variant("EMA 0.2", "weight average", {"ema_fraction": 0.2}, costs=False),
    Variant("lr 0.001", "learning rate", {"lr": 1e-3}, costs=False),
    Variant("batch 16", "batch", {"batch": 16}),
)
