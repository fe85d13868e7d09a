"""What a start is worth: quality on TNBC from a prior and from nothing, by training time and by patients.

    python -m benchmarks.transfer --minutes 5 --minutes 20 --minutes 60
    python -m benchmarks.transfer --minutes 5 --patients 1 --patients 2 --patients 4

reads TNBC below NUCLEOSYNTH_DATA, on which no shipped prior was trained, trains with each kind of initial
weights on so many training patients in runs/benchmark-transfer (the same command goes on there), and adds a
row to benchmarks/results/transfer.json as each is done. Tiles are requested and scored as in
`benchmarks.training_quality`, whatever the number of patients: masks of the validation patient, KID to all
training patients. Fewer patients are the first of a fixed random order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cyclopts

from benchmarks.contenders import OwnTraining, Row
from benchmarks.quality import TileEvaluator
from benchmarks.rows import put_row
from benchmarks.studies import HOME, RESULTS, open_tnbc
from benchmarks.training_quality import measure, quality_header, show, slug
from nucleosynth.diffusion.config import FROM_SCRATCH, PRIOR
from nucleosynth.errors import InputError
from nucleosynth.seeds import rng

RUN = HOME / "runs" / "benchmark-transfer"
KEYS = ("start", "patients", "budget", "lr")


def row_of(start: str, patients: int, lr: float | None) -> Row:
    """Return a line of the table: ours with all defaults, but for the start and, if given, the rate."""
    changes: dict[str, Any] = {"start": start} | ({} if lr is None else {"lr": lr})
    rate = "" if lr is None else f"-lr-{lr:g}"
    training = OwnTraining(f"{slug(Path(start).name)}-{patients}-patients{rate}", changes)
    return Row(f"from {start}", training, {}, "all defaults")


def main(
    *,
    start: tuple[str, ...] = (FROM_SCRATCH, PRIOR),
    minutes: tuple[float, ...] = (5, 20, 60),
    patients: tuple[int, ...] = (),
    lr: float | None = None,
    samples: int = 256,
    seed: int = 0,
    run: Path = RUN,
    result: Path = RESULTS / "transfer.json",
) -> None:
    """Measure each start at each budget and number of patients, and write each row as it is done.

    Parameters
    ----------
    start
        As `generator.start`: none, prior, a shipped name or a path.
    minutes
        Training times.
    patients
        How many training patients are learned from; left out: all.
    lr
        Another learning rate than that of the start.
    samples
        Tiles drawn by each.
    """
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    evaluator = TileEvaluator(tiles, fold, "validation", samples=samples, seed=seed)
    for count in patients:
        if not 1 <= count <= len(fold.train):
            raise InputError(f"--patients {count}: there are {len(fold.train)} to learn from")
    order = rng(seed, "patients").permutation(sorted(fold.train)).tolist()
    for count in patients or (len(order),):
        part = fold.model_copy(update={"train": sorted(order[:count])})
        for name in start:
            for budget in minutes:
                row = row_of(name, count, lr)
                found = measure(row, tiles, part, evaluator, budget={"minutes": budget}, run=run, seed=seed)
                found |= {"start": name, "patients": count, "lr": found["training"]["lr"]}
                put_row(result, quality_header(tiles, fold, evaluator), found, keys=KEYS, order=_order)
                show(found)


def _order(row: Mapping[str, Any]) -> tuple[float, int, float, str]:
    """Sort rows by patients, the most first, then by time."""
    return -row["patients"], row["budget"]["minutes"], row["lr"], row["start"]


if __name__ == "__main__":
    cyclopts.run(main)
