"""Layouts by the spacing model (`layouts.fit`) beside real masks, on TNBC.

    python -m benchmarks.layouts

reads TNBC below NUCLEOSYNTH_DATA, keeps its tiles in runs/benchmark-layouts and writes
benchmarks/results/layouts.json. Layouts are learned from the training patients and compared with these and
the validation patient; ``--held-out test`` is for after the choice. The committed result also holds rows of a
diffusion of masks, which lost to this (docs/layouts.md); its code is no longer here.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cyclopts
import numpy as np
import torch

from benchmarks.layout_scores import LayoutEvaluator
from benchmarks.studies import HOME, RESULTS, open_tnbc
from nucleosynth.files import write_json
from nucleosynth.layouts.fit import fit_layouts
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.runs import environment

NAME = "spacing"
SPEED_LAYOUTS, SPEED_REPEATS = 32, 5


def speed(model: LayoutModel, labels: list[int]) -> dict[str, Any]:
    """Layouts per minute on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    labels = [labels[i % len(labels)] for i in range(SPEED_LAYOUTS)]
    seconds: list[float] = []
    for repeat in range(SPEED_REPEATS + 1):
        started = time.perf_counter()
        model.draw(len(labels), label=labels, seed=repeat)
        if repeat:  # the first warms up
            seconds.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return {"layouts_per_minute": 60 * len(labels) / statistics.median(seconds), "seconds": seconds}


def main(
    *,
    repeats: int = 2,
    held_out: Literal["validation", "test"] = "validation",
    seed: int = 0,
    run: Path = HOME / "runs" / "benchmark-layouts",
    result: Path = RESULTS / "layouts.json",
) -> None:
    """Fit, draw, measure and write the result.

    Parameters
    ----------
    repeats
        Layouts drawn per training tile.
    held_out
        Part of the split whose real masks give the *between* references.
    """
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    started = time.perf_counter()
    model = fit_layouts(tiles, fold.train, seed=seed)
    fitted = {"seconds": time.perf_counter() - started, "bytes": len(model.model_dump_json())}
    evaluator = LayoutEvaluator(tiles, fold.train, getattr(fold, held_out))
    labels = np.tile(tiles.labels[evaluator.rows], repeats).tolist()
    drawn = model.draw(len(labels), label=labels, seed=seed)
    found = {
        "data": {
            "name": "TNBC",
            "tile": tiles.size[0],
            "mpp": tiles.mpp,
            "content_hash": tiles.content_hash,
            "train": {"patients": len(fold.train), "tiles": len(evaluator.real)},
            "held_out": {"part": held_out, "tiles": len(evaluator.held)},
        },
        "settings": {"seed": seed, "layouts": len(labels)},
        "fitted": {NAME: fitted},
        "references": evaluator.references(),
        "scores": {NAME: evaluator.scores(drawn, labels, seed=seed)},
        "speed": {
            "layouts": SPEED_LAYOUTS,
            "threads": 1,
            "load_before": os.getloadavg()[0],
            NAME: speed(model, labels),
        },
        "environment": environment(),
    }
    write_json(result, found)
    show(found)


def show(found: Mapping[str, Any]) -> None:
    """Print what matters most."""
    for name, scores in found["scores"].items():
        every = scores["distances"]["all"]
        apart = [
            f"{m} {_shown(s['distance_sd'])} ({_shown(s['real_reference_sd'])})" for m, s in every.items()
        ]
        kid, copies = scores["kid"], scores["copies"]
        print(f"{name}: {', '.join(apart)}")
        print(
            f"  KID {kid['kid']:.4f} (within {kid['real_reference']['within']:.4f}, "
            f"between {kid['real_reference']['between']:.4f}); best overlap median "
            f"{_shown(copies['median'])}, max {_shown(copies['max'])}; "
            f"{found['speed'][name]['layouts_per_minute']:.0f} layouts/min"
        )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    cyclopts.run(main)
