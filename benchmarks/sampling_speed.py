"""B1 and B1b: the speed of sampling, and how near it is to the limit of the machine.

    python -m benchmarks.sampling_speed

reads TNBC below NUCLEOSYNTH_DATA and writes benchmarks/results/sampling_speed.json. Speed does not depend on
what a network has learned, so all have random weights. All draw for the same masks, in turn, in the same
dtype and memory layout, 32 tiles at a time; those of 1000 steps draw 3 tiles, once, those of 250 steps 3
tiles in each round. Single evaluations warm up and give, at the start, an estimate of the duration. Every
time is stored in runs/benchmark-quality/sampling-speed: after a kill the same command continues there.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.contenders import MATCHED, OURS, OwnTraining, PeerTraining, Trained, Training
from benchmarks.studies import HOME, open_tnbc
from benchmarks.timing import Kept, Work, alternate, rounds, warm_up
from benchmarks.training_quality import peer_versions
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.render.wording import duration
from nucleosynth.runs import environment, open_run
from nucleosynth.training.devices import autocast, inference_precision

RESULT = HOME / "benchmarks" / "results" / "sampling_speed.json"
CPU = torch.device("cpu")
BATCH, REPEATS, FEW = 32, 5, 3
CHANNELS, SIDE = 256, 64
"""Size of the convolution that defines the limit: 3 x 3, as many channels in as out."""
LOOP, CONVOLUTION = "sampling loop", "one convolution"

OUR_NETWORK = OwnTraining("our-network", {"objective": "epsilon"})
"""Our network behind the schedule of 1000 steps, for the peers' ways of sampling."""


@dataclass(frozen=True)
class Timed:
    """A contender: what it evaluates, how often for a tile, and how much of it is timed."""

    name: str
    training: Training
    sampling: Mapping[str, Any]
    evaluations: int
    few: bool = False  # draws FEW tiles, not BATCH
    once: bool = False


def _own(sampler: str, steps: int, *, few: bool = False, once: bool = False) -> Timed:
    name = f"our network, {sampler.upper()}-{steps}"
    sampling = {"sampler": sampler, "steps": steps, "sigma_scale": 1.0}
    return Timed(name, OUR_NETWORK, sampling, steps, few, once)


def _peer(library: str, steps: int, *, matched: bool = False, few: bool = False, once: bool = False) -> Timed:
    name = f"{library}{', matched' if matched else ''}, {'DDPM' if steps == 1000 else 'DDIM'}-{steps}"
    training = PeerTraining(library + matched * "-matched", library, **(MATCHED if matched else {}))
    return Timed(name, training, {"steps": steps}, steps, few, once)


CONTENDERS: tuple[Timed, ...] = (
    Timed("ours", OURS, {"steps": 10}, 10),
    _peer("ddpm-pytorch", 1000, few=True, once=True),
    _peer("ddpm-pytorch", 250, few=True),
    _peer("diffusers", 1000, few=True, once=True),
    _peer("diffusers", 50),
    _peer("ddpm-pytorch", 1000, matched=True, few=True, once=True),
    _peer("ddpm-pytorch", 250, matched=True, few=True),
    _peer("diffusers", 1000, matched=True, few=True, once=True),
    _peer("diffusers", 50, matched=True),
    _own("ddpm", 1000, few=True, once=True),
    _own("ddim", 250, few=True),
    _own("ddim", 50),
)


@dataclass(frozen=True)
class Ready:
    """A contender with its network and the masks it draws for."""

    timed: Timed
    model: Trained
    masks: NDArray[np.integer]

    @property
    def evaluations(self) -> int:
        """Number of network evaluations for a tile."""
        return self.timed.evaluations

    def draw(self, turn: int) -> None:
        """Draw a tile for each mask."""
        self._draw(turn, {})

    def evaluate(self, turn: int) -> None:
        """Evaluate the network once: draw in one step."""
        self._draw(turn, {"steps": 1})

    def _draw(self, turn: int, changes: Mapping[str, Any]) -> None:
        sampling = {**self.timed.sampling, **changes}
        stain = np.zeros((len(self.masks), 6), np.float32)
        self.model.sample(self.masks, stain=stain, seed=turn, first=0, **sampling)

    def what(self) -> dict[str, Any]:
        """Return a description of what is timed."""
        return {
            "evaluations": self.evaluations,
            "parameters": self.model.parameters,
            "training": self.timed.training.settings(self.masks.shape[1]),
            "sampling": dict(self.timed.sampling),
            "tiles": len(self.masks),
        }


def get_ready(contenders: Sequence[Timed], masks: NDArray[np.integer], *, few: int) -> dict[str, Ready]:
    """Build the networks; contenders of the same training share one."""
    models: dict[str, Trained] = {}
    for timed in contenders:
        if timed.training.key not in models:
            models[timed.training.key] = timed.training.build(masks.shape[1])
    return {
        timed.name: Ready(timed, models[timed.training.key], masks[:few] if timed.few else masks)
        for timed in contenders
    }


def sampling_speed(ready: Mapping[str, Ready], *, repeats: int, kept: Kept | None = None) -> dict[str, Any]:
    """Measure tiles per second of each contender, after warming up."""
    works = {name: one.draw for name, one in ready.items()}
    measured = alternate(works, repeats=repeats, once=once(ready), warmed=True, kept=kept)
    return {
        name: {
            **one.what(),
            "tiles_per_second": len(one.masks) / statistics.median(measured[name]["seconds"]),
            **measured[name],
        }
        for name, one in ready.items()
    }


def once(ready: Mapping[str, Ready]) -> list[str]:
    """Return the names of contenders that are timed only in the first round."""
    return [name for name, one in ready.items() if one.timed.once]


class Limit:
    """One large convolution, in the dtype and memory layout of the networks."""

    evaluations = 1

    def __init__(self, batch: int, *, channels: int = CHANNELS, side: int = SIDE) -> None:
        convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convolution = convolution.to(memory_format=torch.channels_last).eval()
        drawn = torch.randn(batch, channels, side, side)
        self.entering = drawn.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def evaluate(self, _turn: int = 0) -> None:
        """Convolve once."""
        with autocast(CPU):
            self.convolution(self.entering)

    def what(self) -> dict[str, int]:
        """Return a description of what is timed."""
        batch, channels, side, _ = self.entering.shape
        return {"channels": channels, "side": side, "kernel": 3, "batch": batch}


def operations(work: Work) -> int:
    """Count the floating-point operations of convolutions and matrix products; a multiply-add is two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work(0)
    return int(counter.get_total_flops())


def nearness(loop: Work, limit: Limit, *, repeats: int, kept: Kept | None = None) -> dict[str, Any]:
    """Measure operations per second of our sampling loop and of one large convolution."""
    works: dict[str, Work] = {LOOP: loop, CONVOLUTION: limit.evaluate}
    measured = alternate(works, repeats=repeats, warmed=True, kept=kept)
    found: dict[str, Any] = {}
    for name, work in works.items():
        flop = operations(work)
        found[name] = {
            "flop": flop,
            "flop_per_second": flop / statistics.median(measured[name]["seconds"]),
            **measured[name],
        }
    rates = [found[name]["flop_per_second"] for name in works]
    return {**found, "ratio": rates[0] / rates[1], "convolution": limit.what()}


def measure(
    contenders: Sequence[Timed], masks: NDArray[np.integer], *, few: int, repeats: int, times: Path
) -> tuple[dict[str, Any], Kept]:
    """Warm up, print the expected duration, time all, and store each time in the file ``times``.

    One evaluation of each contender warms it up and gives the expected duration of all its evaluations.
    """
    ready = get_ready(contenders, masks, few=few)
    loop, limit = get_ready(CONTENDERS[:1], masks, few=few)["ours"], Limit(len(masks))
    every: dict[str, Ready | Limit] = {LOOP: loop, CONVOLUTION: limit, **ready}
    kept = Kept(times, {name: one.what() for name, one in every.items()})
    seconds = warm_up({name: one.evaluate for name, one in every.items()})
    plan = rounds((LOOP, CONVOLUTION), repeats=repeats) + rounds(ready, repeats=repeats, once=once(ready))
    for name, one in every.items():
        runs = sum(planned == name for _, planned in plan)
        print(f"{name}: {seconds[name]:.3f} s an evaluation, {one.evaluations} evaluations, {runs} times")
    left = [(turn, name) for turn, name in plan if kept.find(name, turn) is None]
    expected = sum(seconds[name] * every[name].evaluations for _, name in left)
    print(f"{len(plan) - len(left)} of {len(plan)} times are in {times}")
    print(f"the others take about {duration(expected)}", flush=True)
    found = {
        "near_the_limit": nearness(loop.draw, limit, repeats=repeats, kept=kept),
        "contenders": sampling_speed(ready, repeats=repeats, kept=kept),
    }
    return found, kept


def main(
    *,
    batch: int = BATCH,
    repeats: int = REPEATS,
    few: int = FEW,
    only: tuple[str, ...] = (),
    run: Path = HOME / "runs" / "benchmark-quality",
    result: Path = RESULT,
) -> None:
    """Time all contenders and write the result, or continue after an interruption.

    Parameters
    ----------
    repeats
        Rounds that count.
    few
        Tiles that the slowest draw.
    only
        Names of contenders, for a trial.
    """
    tiles, split = open_tnbc(run)
    assert tiles.masks is not None
    rows = tiles.rows_of(split.folds[0].validation)
    masks = np.asarray(tiles.masks[rows[np.arange(batch) % len(rows)]]).astype(np.int32)
    contenders = chosen(only)
    settings = {
        "threads": torch.get_num_threads(),
        "dtype": str(inference_precision(CPU)).removeprefix("torch."),
        "memory_layout": "channels_last",
        "weights": "random",
    }
    machine = {**environment(), "peers": peer_versions()}
    same = {key: machine[key] for key in ("cpu", "cores", "versions", "peers")}
    config = {"tiles": tiles.content_hash, **settings, **same}
    with open_run(run / "sampling-speed", kind="sampling speed", config=config) as held:
        found, kept = measure(contenders, masks, few=few, repeats=repeats, times=held.path / "times.jsonl")
        write_json(
            result,
            {
                "data": {"name": "TNBC", "tile": tiles.size[0], "masks": "of the validation patient"},
                "settings": {"batch": batch, "few": few, "repeats": repeats, **settings},
                **found,
                "environment": machine,
            },
        )
        kept.forget()  # all of them are in the result
    near = found["near_the_limit"]
    print(f"sampling loop at {near['ratio']:.2f} of one large convolution's operations per second")
    for name, speed in found["contenders"].items():
        print(f"{name}: {speed['tiles_per_second']:.4g} tiles/s ({speed['parameters'] / 1e6:.1f} M)")


def chosen(only: Sequence[str]) -> list[Timed]:
    """Return the contenders of these names, all where none is named."""
    known = {timed.name: timed for timed in CONTENDERS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(f"--only {unknown[0]}: no such contender; there are {', '.join(map(repr, known))}")
    return [known[name] for name in only] or list(CONTENDERS)


if __name__ == "__main__":
    cyclopts.run(main)
