"""B1 and B1b: how fast tiles are drawn, and how near that is to what the machine can do.

    python -m benchmarks.sampling_speed

reads TNBC below NUCLEOSYNTH_DATA and writes benchmarks/results/sampling_speed.json. Speed does not depend on
what a network has learned, so all have random weights. All draw for the same masks, in turn, in the same
dtype and memory layout, 32 tiles at a time; those of 1000 steps draw 3 tiles, once, those of 250 steps 3
tiles in each round.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.contenders import MATCHED, OURS, OwnTraining, PeerTraining, Trained, Training
from benchmarks.layouts import open_tnbc
from benchmarks.studies import HOME
from benchmarks.training_quality import peer_versions
from nucleosynth.runs import environment, write_json
from nucleosynth.training.devices import autocast, inference_precision

RESULT = HOME / "benchmarks" / "results" / "sampling_speed.json"
CPU = torch.device("cpu")
BATCH, REPEATS, FEW = 32, 5, 3
CHANNELS, SIDE = 256, 64
"""Of the convolution that stands for the limit: 3 x 3, as many channels in as out."""

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


def alternate(
    works: Mapping[str, Callable[[int], object]], *, repeats: int, once: Sequence[str] = ()
) -> dict[str, dict[str, list[float]]]:
    """Time works in turn, round after round.

    Parameters
    ----------
    works
        ``work(round)``.
    once
        Works of the first round alone, which are not warmed up; the others run one round more than counts.

    Returns
    -------
    Seconds and the load of the machine before each.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "load_before": []} for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            if name in once and turn != 1:
                continue
            load, started = os.getloadavg()[0], time.perf_counter()
            work(turn)
            if turn:  # round 0 warms up
                found[name]["seconds"].append(time.perf_counter() - started)
                found[name]["load_before"].append(load)
    return found


def sampling_speed(
    contenders: Sequence[Timed], masks: NDArray[np.integer], *, few: int, repeats: int
) -> dict[str, Any]:
    """Tiles per second of each contender."""
    size = masks.shape[1]
    models: dict[str, Trained] = {}
    for timed in contenders:
        if timed.training.key not in models:
            models[timed.training.key] = timed.training.build(size)
    asked = {timed.name: masks[:few] if timed.few else masks for timed in contenders}
    works = {t.name: partial(draw, t, models[t.training.key], asked[t.name]) for t in contenders}
    measured = alternate(works, repeats=repeats, once=[t.name for t in contenders if t.once])
    return {
        timed.name: {
            "evaluations": timed.evaluations,
            "parameters": models[timed.training.key].parameters,
            "training": timed.training.settings(size),
            "tiles": len(asked[timed.name]),
            "tiles_per_second": len(asked[timed.name]) / statistics.median(measured[timed.name]["seconds"]),
            **measured[timed.name],
        }
        for timed in contenders
    }


def draw(timed: Timed, model: Trained, masks: NDArray[np.integer], turn: int) -> None:
    """Draw a tile for each mask."""
    model.sample(masks, stain=np.zeros((len(masks), 6), np.float32), seed=turn, first=0, **timed.sampling)


class Limit:
    """One large convolution, in the dtype and memory layout of the networks."""

    def __init__(self, batch: int, *, channels: int = CHANNELS, side: int = SIDE) -> None:
        convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convolution = convolution.to(memory_format=torch.channels_last).eval()
        drawn = torch.randn(batch, channels, side, side)
        self.entering = drawn.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, _turn: int = 0) -> None:
        with autocast(CPU):
            self.convolution(self.entering)


def operations(work: Callable[[int], object]) -> int:
    """Count the floating-point operations of convolutions and matrix products; a multiply-add is two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work(0)
    return int(counter.get_total_flops())


def nearness(masks: NDArray[np.integer], *, repeats: int) -> dict[str, Any]:
    """Achieved operations per second of our sampling loop beside those of one large convolution."""
    ours = CONTENDERS[0]
    works: dict[str, Callable[[int], object]] = {
        "sampling loop": partial(draw, ours, ours.training.build(masks.shape[1]), masks),
        "one convolution": Limit(len(masks)),
    }
    measured = alternate(works, repeats=repeats)
    found: dict[str, Any] = {}
    for name, work in works.items():
        flop = operations(work)
        found[name] = {
            "flop": flop,
            "flop_per_second": flop / statistics.median(measured[name]["seconds"]),
            **measured[name],
        }
    rates = [found[name]["flop_per_second"] for name in works]
    convolution = {"channels": CHANNELS, "side": SIDE, "kernel": 3, "batch": len(masks)}
    return {**found, "ratio": rates[0] / rates[1], "convolution": convolution}


def main(
    *,
    batch: int = BATCH,
    repeats: int = REPEATS,
    few: int = FEW,
    only: tuple[str, ...] = (),
    run: Path = HOME / "runs" / "benchmark-quality",
    result: Path = RESULT,
) -> None:
    """Time all contenders and write the result.

    Parameters
    ----------
    few
        Tiles that the slowest draw.
    only
        Names of contenders, for a trial.
    """
    tiles, split = open_tnbc(run)
    assert tiles.masks is not None
    rows = tiles.rows_of(split.folds[0].validation)
    masks = np.asarray(tiles.masks[rows[np.arange(batch) % len(rows)]]).astype(np.int32)
    contenders = [timed for timed in CONTENDERS if not only or timed.name in only]
    found = {
        "data": {"name": "TNBC", "tile": tiles.size[0], "masks": "of the validation patient"},
        "settings": {
            "batch": batch,
            "few": few,
            "repeats": repeats,
            "threads": torch.get_num_threads(),
            "dtype": str(inference_precision(CPU)).removeprefix("torch."),
            "memory_layout": "channels_last",
            "weights": "random",
        },
        "near_the_limit": nearness(masks, repeats=repeats),
        "contenders": sampling_speed(contenders, masks, few=few, repeats=repeats),
        "environment": {**environment(), "peers": peer_versions()},
    }
    write_json(result, found)
    near = found["near_the_limit"]
    print(f"sampling loop at {near['ratio']:.2f} of one large convolution's operations per second")
    for name, speed in found["contenders"].items():
        print(f"{name}: {speed['tiles_per_second']:.4g} tiles/s ({speed['parameters'] / 1e6:.1f} M)")


if __name__ == "__main__":
    cyclopts.run(main)
