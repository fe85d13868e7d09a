"""B2: quality after the same training time: the peers, this project, and the steps between them.

    python -m benchmarks.training_quality --minutes 30
    python -m benchmarks.training_quality --minutes 30 --only ours

reads TNBC below NUCLEOSYNTH_DATA, trains each contender on the training patients in
runs/benchmark-quality (the same command continues there) and adds a row to
benchmarks/results/training_quality.json as each is done. Rows are named in `contenders.ROWS`; rows of the
same training use one run. Peers of 1000 steps draw by DDIM-50. ``--part test`` is for after all choices
and writes training_quality_test.json.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch

from benchmarks.contenders import ROWS, Budget, PeerTraining, Row, with_rate
from benchmarks.quality import Part, TileEvaluator
from benchmarks.rows import put_row
from benchmarks.studies import HOME, RESULTS, open_tnbc
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment
from nucleosynth.training.metrics import trained_seconds

RUN = HOME / "runs" / "benchmark-quality"
PEERS = ("denoising-diffusion-pytorch", "diffusers")
SHOWN = 32


def peer_versions() -> dict[str, str]:
    """Return versions of the installed peers, for provenance."""
    found = {distribution.name for distribution in metadata.distributions()}
    return {name: metadata.version(name) for name in PEERS if name in found}


def chosen(only: Sequence[str], lr: float | None) -> list[Row]:
    """Return the rows of these names, all where none is named."""
    known = {row.name: row for row in ROWS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(f"--only {unknown[0]}: no such row; there are {', '.join(map(repr, known))}")
    rows = [known[name] for name in only] or list(ROWS)
    return rows if lr is None else [with_rate(row, lr) for row in rows]


def named(budget: Budget) -> str:
    """Write a budget as part of a directory's name."""
    return "-".join(f"{value:g}-{unit}" for unit, value in budget.items())


def measure(
    row: Row, tiles: TileSet, fold: Fold, evaluator: TileEvaluator, *, budget: Budget, run: Path, seed: int
) -> dict[str, Any]:
    """Train, or continue; draw, score and return the record of a row."""
    load = os.getloadavg()[0]
    out = run / f"{row.training.key}-{named(budget)}"
    model = row.training.train(tiles, fold.train, budget, out=out, seed=seed)
    weights = read_json(out / "DONE")["artefacts"]
    samples = f"{out.name}-{slug(row.name)}-{evaluator.part}"
    made, seconds = evaluator.draw(
        model, row.sampling, weights=_weights_name(weights), out=run / "samples" / samples
    )
    save_png(run / "samples" / f"{samples}.png", grid(made[:SHOWN], columns=8, scale=2))
    summary = read_json(out / "summary.json")
    return {
        "name": row.name,
        "shows": row.shows,
        "peer": isinstance(row.training, PeerTraining),
        "budget": dict(budget),
        "training": row.training.settings(tiles.size[0]),
        "sampling": dict(row.sampling),
        "parameters": model.parameters,
        "steps": summary["steps"],
        "train_seconds": trained_seconds(out),
        "sample_seconds": seconds,
        "tiles_per_second": len(made) / seconds,
        "load_before": load,
        **evaluator.scores(made),
        "environment": {**environment(), "peers": peer_versions(), "threads": torch.get_num_threads()},
    }


def _weights_name(artefacts: Mapping[str, str]) -> str:
    """Return the hash of the model of a run."""
    return next(value for name, value in artefacts.items() if name.split(".")[0] in ("generator", "model"))


def slug(name: str) -> str:
    """Return a name as part of a file's name."""
    return "".join(c if c.isalnum() else "-" for c in name).strip("-")


def quality_header(tiles: TileSet, fold: Fold, evaluator: TileEvaluator) -> dict[str, dict[str, Any]]:
    """Return the settings that rows must share to be compared."""
    data = {
        "name": "TNBC",
        "tile": tiles.size[0],
        "mpp": tiles.mpp,
        "content_hash": tiles.content_hash,
        "train": {"patients": len(fold.train), "tiles": len(evaluator.real[0])},
        "held_out": {"patients": len(np.unique(evaluator.held[2])), "tiles": len(evaluator.held[0])},
    }
    return {"data": data, "settings": evaluator.settings()}


def add_row(path: Path, header: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Put a row into the result in place of one of its name and budget.

    Raises
    ------
    InputError
        The file holds rows that cannot be compared with this one.
    """
    order = [r.name for r in ROWS]

    def place(name: str) -> tuple[int, str]:
        return order.index(name) if name in order else len(order), name

    put_row(path, header, row, keys=("name", "budget"), order=lambda r: place(r["name"]))


def main(
    *,
    minutes: float = 30,
    steps: int | None = None,
    only: tuple[str, ...] = (),
    lr: float | None = None,
    samples: int = 256,
    part: Part = "validation",
    seed: int = 0,
    run: Path = RUN,
    result: Path | None = None,
) -> None:
    """Measure rows one after the other and write each as it is done.

    Parameters
    ----------
    minutes, steps
        Training of each contender; steps go before minutes.
    only
        Names of rows; none means all.
    lr
        Another learning rate, for rows of a name of their own.
    samples
        Tiles drawn by each.
    part
        Patients whose masks are asked for.
    """
    rows = chosen(only, lr)
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    evaluator = TileEvaluator(tiles, fold, part, samples=samples, seed=seed)
    budget: Budget = {"minutes": minutes} if steps is None else {"steps": steps}
    name = "training_quality.json" if part == "validation" else "training_quality_test.json"
    path = result or RESULTS / name
    for row in rows:
        found = measure(row, tiles, fold, evaluator, budget=budget, run=run, seed=seed)
        add_row(path, quality_header(tiles, fold, evaluator), found)
        show(found)


def show(found: Mapping[str, Any]) -> None:
    """Print what matters most."""
    agreement, kid, covered = found["agreement"], found["fidelity"], found["coverage"]
    print(
        f"{found['name']}: {found['parameters'] / 1e6:.1f} M, {found['steps']} steps; "
        f"KID {kid['kid']:.4f} (between {kid['real_reference']['between']:.4f}), corrected agreement "
        f"{agreement['corrected']:.3f}, coverage {covered['of_real']:.2f} of real, "
        f"{found['tiles_per_second']:.2f} tiles/s",
        flush=True,
    )


if __name__ == "__main__":
    cyclopts.run(main)
