"""Layouts by the spacing model (`layouts.fit`) and by the diffusion core (`map_layouts`), compared on TNBC.

    python -m benchmarks.layouts --minutes 20

reads TNBC below NUCLEOSYNTH_DATA, trains in runs/benchmark-layouts (the same command continues there) and
writes benchmarks/results/layouts.json and docs/results/tnbc/layouts.png. Both contenders are trained on the
training patients and compared with these and the validation patient; ``--held-out test`` is for after
the choice.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.layout_scores import LayoutEvaluator, Masks
from benchmarks.map_layouts import MapLayouts, decode, encode, map_config, write_maps
from benchmarks.studies import HOME, open_study
from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.files import write_json
from nucleosynth.layouts.fit import fit_layouts
from nucleosynth.layouts.model import LayoutModel
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.render.grid import grid, save_png
from nucleosynth.render.outlines import draw_masks
from nucleosynth.runs import environment
from nucleosynth.study.design.config import load_study

STUDY = HOME / "studies" / "tnbc.yaml"
RESULT = HOME / "benchmarks" / "results" / "layouts.json"
PICTURE = HOME / "docs" / "results" / "tnbc" / "layouts.png"
TILE_UM = 32.0
STEPS = 10
SIGMA_SCALES = (1.0, 1.5)
"""`sigma_scale` of the sampler: off, and conditioned on more noise than there is."""
SPEED_LAYOUTS, SPEED_REPEATS = 32, 5
SHOWN = 48

Draw = Callable[[list[int], int], NDArray[np.uint16]]  # labels, seed -> masks


def open_tnbc(run: Path, *, size: int = 64) -> tuple[TileSet, Split]:
    """Import the tiles of studies/tnbc.yaml once, 32 µm of any ``size`` in pixels, and read its split."""
    tiles = {"tiles.size": str(size), "tiles.mpp": str(TILE_UM / size)}
    return open_study(load_study(STUDY, tiles), run)


def speed(contenders: Mapping[str, Draw], labels: list[int]) -> dict[str, Any]:
    """Measure layouts per minute on one core, the contenders in turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    labels = [labels[i % len(labels)] for i in range(SPEED_LAYOUTS)]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(SPEED_REPEATS + 1):
        for name, draw in contenders.items():
            started = time.perf_counter()
            draw(labels, repeat)
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return {
        name: {"layouts_per_minute": 60 * len(labels) / statistics.median(times), "seconds": times}
        for name, times in seconds.items()
    }


def save_picture(path: Path, drawn: Mapping[str, Masks]) -> None:
    """Draw the first layouts of each contender, one block above the other."""
    blocks = [grid(draw_masks(masks[:SHOWN], scale=2), columns=12) for masks in drawn.values()]
    save_png(path, grid(np.stack(blocks), columns=1, pad=16))


def contenders(model: LayoutModel, learned: MapLayouts) -> dict[str, Draw]:
    """Return both ways to draw, that by diffusion with each setting of the sampler."""
    return {
        "spacing": lambda labels, seed: model.draw(len(labels), label=labels, seed=seed),
        **{
            f"diffusion, sigma_scale {scale:g}": partial(learned.draw, steps=STEPS, sigma_scale=scale)
            for scale in SIGMA_SCALES
        },
    }


def main(
    *,
    minutes: float = 20,
    steps: int | None = None,
    repeats: int = 4,
    held_out: Literal["validation", "test"] = "validation",
    seed: int = 0,
    run: Path = HOME / "runs" / "benchmark-layouts",
    result: Path = RESULT,
    picture: Path = PICTURE,
) -> None:
    """Train, draw, measure and write the result.

    Parameters
    ----------
    minutes, steps
        Training of the generator of distance maps; steps go before minutes.
    repeats
        Layouts drawn per training tile.
    held_out
        Part of the split whose real masks give the *between* references.
    """
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    config = map_config(minutes=minutes, steps=steps)
    maps = write_maps(tiles, fold.train, run / "maps")
    learned = MapLayouts.fit(maps, config, out=run / "generator", seed=seed)
    started = time.perf_counter()
    model = fit_layouts(tiles, fold.train, seed=seed)
    fitted = {
        "spacing": {"seconds": time.perf_counter() - started, "bytes": len(model.model_dump_json())},
        "diffusion": {
            "generator": config.model_dump(mode="json"),
            "steps": learned.generator.card.steps,
            "parameters": learned.generator.parameters,
        },
    }
    evaluator = LayoutEvaluator(tiles, fold.train, getattr(fold, held_out))
    labels = np.tile(tiles.labels[evaluator.rows], repeats).tolist()
    draws = contenders(model, learned)
    drawn = {name: draw(labels, seed) for name, draw in draws.items()}
    again = decode(encode(evaluator.real, learned.mpp), learned.mpp)
    found = {
        "data": {
            "name": "TNBC",
            "tile": tiles.size[0],
            "mpp": tiles.mpp,
            "content_hash": tiles.content_hash,
            "train": {"patients": len(fold.train), "tiles": len(evaluator.real)},
            "held_out": {"part": held_out, "tiles": len(evaluator.held)},
        },
        "settings": {"seed": seed, "layouts": len(labels), "sampler_steps": STEPS},
        "fitted": fitted,
        "round_trip": mask_agreement(again, evaluator.real, groups=evaluator.patients),
        "references": evaluator.references(),
        "scores": {name: evaluator.scores(masks, labels, seed=seed) for name, masks in drawn.items()},
        "speed": {
            "layouts": SPEED_LAYOUTS,
            "threads": 1,
            "load_before": os.getloadavg()[0],
            **speed(draws, labels),
        },
        "environment": environment(),
    }
    write_json(result, found)
    save_picture(picture, drawn)
    show(found)


def show(found: Mapping[str, Any]) -> None:
    """Print what matters most."""
    print(f"round trip of training masks: PQ {found['round_trip']['pq']:.3f}")
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
