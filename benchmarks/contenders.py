"""The contenders: the peers, this project, and the steps from one to the other.

A row of the table is a training and a way to sample from it; rows of the same training use one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.peers import CPU, MaskScale, Peer, build_peer, matched_width
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import FROM_SCRATCH, GeneratorConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.model.build import build_denoiser
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.recipes import get_recipe
from nucleosynth.diffusion.training.batches import TrainingBatches
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.files import partial, write_json
from nucleosynth.runs import open_run
from nucleosynth.training.config import Optimisation
from nucleosynth.training.devices import autocast
from nucleosynth.training.loop import run_training

CHECKPOINT_SECONDS = 300.0  # of the largest peer a checkpoint takes seconds to write
Budget = Mapping[str, float]
"""``{"minutes": 30}`` or ``{"steps": 100}``."""


class Trained(Protocol):
    """A model that draws tiles for masks."""

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""

    def sample(
        self,
        masks: NDArray[np.integer],
        *,
        stain: NDArray[np.float32],
        seed: int,
        first: int,
        **sampling: Any,
    ) -> NDArray[np.uint8]:
        """Draw (n, h, w, 3) tiles, numbered from ``first``, for masks (n, h, w).

        Peers are not conditioned on the stain (n, 6).
        """


class Training(Protocol):
    """The training of a contender."""

    @property
    def key(self) -> str:
        """Name of its run; the same for the same settings."""

    def build(self, size: int) -> Trained:
        """Return the untrained model, with random weights, for timing."""

    def train(
        self, tiles: TileSet, patients: Sequence[str], budget: Budget, *, out: Path, seed: int
    ) -> Trained:
        """Train on the tiles of some patients in the run directory ``out``, or continue there."""

    def settings(self, size: int) -> dict[str, Any]:
        """Return the settings of the training, for the result."""


@dataclass(frozen=True)
class OwnModel:
    """A generator of this project."""

    generator: Generator

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return self.generator.parameters

    def sample(
        self,
        masks: NDArray[np.integer],
        *,
        stain: NDArray[np.float32],
        seed: int,
        first: int,
        **sampling: Any,
    ) -> NDArray[np.uint8]:
        """See `Trained`."""
        indices = range(first, first + len(masks))
        return self.generator.sample(masks=masks, stain=stain, seed=seed, indices=indices, **sampling)


@dataclass(frozen=True)
class OwnTraining:
    """One of our recipes; the network is the default one of ``unified`` in all of them."""

    key: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def config(self, size: int, budget: Budget) -> GeneratorConfig:
        """Return the settings; ``network`` is completed by the default folding."""
        network = {"unshuffle": get_recipe("unified").unshuffle(size), **self.changes.get("network", {})}
        wanted = {"start": FROM_SCRATCH, **self.changes, **budget, "network": network}
        return GeneratorConfig.model_validate(wanted)

    def build(self, size: int) -> Trained:
        """See `Training`."""
        config = self.config(size, {"steps": 1})
        card = ModelCard(
            [], size, 0.5, masks=True, patients=[], content_hash="", network=config.network, steps=0,
            recipe=config.recipe, objective=config.objective, mask_scale=config.mask_scale,
        )  # fmt: skip
        return OwnModel(Generator(build_denoiser(card), card).to("cpu"))

    def train(
        self, tiles: TileSet, patients: Sequence[str], budget: Budget, *, out: Path, seed: int
    ) -> Trained:
        """See `Training`."""
        config = self.config(tiles.size[0], budget)
        path = train_generator(tiles, patients, config, out=out, seed=seed, device="cpu")
        return OwnModel(Generator.from_pretrained(path, device="cpu"))

    def settings(self, size: int) -> dict[str, Any]:
        """See `Training`."""
        return self.config(size, {"steps": 1}).model_dump(mode="json", exclude={"steps", "minutes"})


@dataclass(frozen=True)
class PeerModel:
    """A peer, trained or not."""

    peer: Peer

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return self.peer.parameters_count

    def sample(
        self,
        masks: NDArray[np.integer],
        *,
        stain: NDArray[np.float32],
        seed: int,
        first: int,
        **sampling: Any,
    ) -> NDArray[np.uint8]:
        """Draw tiles, see `Trained`; the stain is ignored."""
        del stain
        return self.peer.sample(masks, seed=seed, first=first, **sampling)


@dataclass(frozen=True)
class PeerTraining:
    """A peer at its own size or as large as ours, by the loop of this project.

    Learning rate and batch are the defaults of both peers' training scripts; ``ema_fraction`` is ours, which
    suits short runs better than the constants of theirs.
    """

    key: str
    library: str
    size: Literal["own", "matched"] = "own"
    mask: MaskScale = "1/255"
    lr: float = 1e-4
    batch: int = 16
    ema_fraction: float = 0.05

    def width(self, size: int) -> int | None:
        """Return the width at which it is as large as our network; None: its own."""
        if self.size == "own":
            return None
        return matched_width(self.library, size, OwnTraining("unified").build(size).parameters)

    def build(self, size: int, *, seed: int = 0) -> PeerModel:
        """See `Training`."""
        return PeerModel(build_peer(self.library, size, self.mask, width=self.width(size), seed=seed))

    def train(
        self, tiles: TileSet, patients: Sequence[str], budget: Budget, *, out: Path, seed: int
    ) -> Trained:
        """See `Training`."""
        model = self.build(tiles.size[0], seed=seed)
        peer = model.peer
        rows = get_recipe("mask-guided").usable_rows(tiles, tiles.rows_of(patients))
        settings = {
            "peer": self.settings(tiles.size[0]),
            "budget": dict(budget),
            "seed": seed,
            "tileset": tiles.content_hash,
            "patients": sorted(set(patients)),
        }
        weights = out / "model.safetensors"
        with open_run(out, kind="peer", config=settings) as run:
            if not run.done:
                learner = PeerLearner(peer, peer_batches(tiles, rows, self.batch, seed))
                fitted = run_training(
                    learner,
                    run,
                    self._optimisation(len(rows), budget),
                    seed=seed,
                    device=CPU,
                    checkpoint_seconds=CHECKPOINT_SECONDS,
                )
                with partial(weights) as building:
                    save_file({name: value.contiguous() for name, value in fitted.ema.items()}, building)
                write_json(out / "summary.json", {"steps": fitted.steps, "parameters": model.parameters})
                run.finish([weights.name, "summary.json"])
        peer.network.load_state_dict(load_file(weights))
        return model

    def _optimisation(self, tiles: int, budget: Budget) -> Optimisation:
        cap = GeneratorConfig().passes * tiles // self.batch
        return Optimisation.model_validate(
            {
                **budget,
                "most_steps": max(1, cap),
                "lr": self.lr,
                "ema_fraction": self.ema_fraction,
                "log_every": 5,
            }
        )

    def settings(self, size: int) -> dict[str, Any]:
        """See `Training`."""
        return {**vars(self), "width": self.width(size)}


class PeerLearner:
    """A peer and its loss, for the shared loop."""

    def __init__(self, peer: Peer, batches: TrainingBatches) -> None:
        self.model = peer.network
        self._peer, self._batches = peer, batches

    def loss(self, step: int) -> Tensor:
        """Return the loss of a step's batch; the peer draws its own noise and noise levels."""
        pixels, _, _, condition = self._batches.draw(step)
        inside = (condition.planes[:, :1] + 1) / 2
        with autocast(CPU, training=True):
            return self._peer.loss(pixels.contiguous(memory_format=torch.channels_last), inside)


def peer_batches(tiles: TileSet, rows: NDArray[np.int64], size: int, seed: int) -> TrainingBatches:
    """Return batches of our own recipe ``mask-guided``: without jitter and dropped masks."""
    descriptors = np.zeros((len(rows), 6), np.float32)
    return TrainingBatches(
        tiles, rows, descriptors, True, size, drop=0.0, jitter=0.0, p_mean=0.0, p_std=1.0, seed=seed
    )


@dataclass(frozen=True)
class Row:
    """A row of the table: a training, one way of sampling, and the difference from the row before."""

    name: str
    training: Training
    sampling: Mapping[str, Any]
    shows: str


DDIM: Mapping[str, Any] = {"sampler": "ddim", "steps": 50, "sigma_scale": 1.0}
PLAIN: Mapping[str, Any] = {"recipe": "mask-guided"}
UNCROPPED: Mapping[str, Any] = {"crops": False}
LAST: Mapping[str, Any] = {**UNCROPPED, "ema_fraction": 0.0}
"""The last weights without averaging, as in plain DDPMs."""
CONDITIONED: Mapping[str, Any] = {**LAST, "objective": "epsilon"}
MATCHED: Mapping[str, Any] = {"size": "matched", "mask": "[-1, 1]", "lr": 1e-3, "batch": 8}
OURS = OwnTraining("unified")

ROWS: tuple[Row, ...] = (
    Row("ddpm-pytorch", PeerTraining("ddpm-pytorch", "ddpm-pytorch"), {"steps": 50}, "peer as it comes"),
    Row("diffusers", PeerTraining("diffusers", "diffusers"), {"steps": 50}, "peer as it comes"),
    Row(
        "ddpm-pytorch, matched",
        PeerTraining("ddpm-pytorch-matched", "ddpm-pytorch", **MATCHED),
        {"steps": 50},
        "size as ours, mask in [-1, 1]",
    ),
    Row(
        "diffusers, matched",
        PeerTraining("diffusers-matched", "diffusers", **MATCHED),
        {"steps": 50},
        "size as ours, mask in [-1, 1]",
    ),
    Row(
        "network",
        OwnTraining("network", {**PLAIN, "mask_scale": 1 / 255}),
        DDIM,
        "our network, mask at 1/255",
    ),
    Row("+ mask scale", OwnTraining("mask-scale", PLAIN), DDIM, "mask in [-1, 1]"),
    Row(
        "+ conditioning",
        OwnTraining("conditioning", CONDITIONED),
        DDIM,
        "mask at every grid, stain and its jitter",
    ),
    Row("+ objective", OwnTraining("objective", LAST), DDIM, "EDM over the spectrum"),
    Row("+ EMA", OwnTraining("ema", UNCROPPED), DDIM, "averaged weights"),
    Row("+ crops", OURS, DDIM, "crops across neighbouring tiles"),
    Row("+ 10 steps", OURS, {**DDIM, "steps": 10}, "a fifth of the evaluations"),
    Row("+ DPM-Solver++ SDE", OURS, {"sampler": "dpmpp-2m-sde"}, "second order, fresh noise"),
    Row("ours", OURS, {}, "spectral sampler instead: all defaults"),
    Row("ours, 5 steps", OURS, {"steps": 5}, "fewer evaluations"),
    Row("ours, 8 steps", OURS, {"steps": 8}, "fewer evaluations"),
    Row("ours, 20 steps", OURS, {"steps": 20}, "more evaluations"),
)


def with_rate(row: Row, lr: float) -> Row:
    """Return the row with another learning rate, under a name of its own."""
    training, suffix = row.training, f"@lr={lr:g}"
    if isinstance(training, PeerTraining):
        changed: Training = replace(training, key=training.key + suffix, lr=lr)
    else:
        assert isinstance(training, OwnTraining)
        changed = OwnTraining(training.key + suffix, {**training.changes, "lr": lr})
    return replace(row, name=row.name + suffix, training=changed)
