"""Selection of synthetic tiles: of each class those with the best score of a filter.

The same share of every class is kept, so all filters leave equally many tiles and the same class frequencies:
two selections of a pool differ only in which tiles they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_json
from nucleosynth.runs import open_run
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.stages.context import FitContext
from nucleosynth.study.stages.filters import Filter, FilterInput, Floats, Rows, filter_class
from nucleosynth.study.stages.training_sets import SELECTION, training_patients

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def run_filter(context: FitContext, job: Job) -> None:
    """Select tiles from the pool of a generator with a filter."""
    select_tiles(
        filter_class(job.name).of(context, job),
        TileSet.open(context.path(context.fit.pool(job.generator))),
        context.tiles,
        context.patients.train,
        keep=context.study.arms.keep,
        out=context.path(job.folder),
    )


def select_tiles(
    chosen: Filter, pool: TileSet, tiles: TileSet, train: Sequence[str], *, keep: float, out: Path
) -> Rows:
    """Return the rows of a pool that a filter keeps: of each class the best share by its score.

    Tiles without a class count as one more class. Only tiles of training patients are read.

    Parameters
    ----------
    pool
        Synthetic tiles.
    tiles
        Real tiles.
    train
        The training patients.
    keep
        Share of each class, above 0 and at most 1, rounded up; of tiles with equal scores the first drawn are
        kept.
    out
        Run directory; the result is stored there as ``selection.json`` and not computed twice.

    Returns
    -------
    (k,) int64
        In ascending order.

    Raises
    ------
    InputError
        The pool depends on a patient outside ``train`` or does not match the tiles; ``out`` holds another
        selection; something that the filter needs is missing.
    """
    _check(pool, tiles, train, keep)
    rows = chosen.reads(FilterInput(pool, tiles, tiles.rows_of(train)))
    asked = {
        "filter": chosen.name,
        "keep": keep,
        "pool": pool.content_hash,
        "tileset": tiles.content_hash,
        "train": sorted(train),
        **chosen.identity(),
    }
    with open_run(out, kind="selection", config=asked) as run:
        if not run.done:
            scores = chosen.score(FilterInput(pool, tiles, rows))
            kept = best_share(scores, pool.labels, _drawn(pool), keep=keep)
            patients = sorted(set(tiles.patients[rows].tolist()))
            found = {"patients": patients, "classes": _by_class(pool, scores, kept), "rows": kept.tolist()}
            write_json(out / SELECTION, {**asked, **found})
            run.finish([SELECTION])
        return np.array(read_json(out / SELECTION)["rows"], np.int64)


def best_share(scores: Floats, labels: Rows, order: Rows, *, keep: float) -> Rows:
    """Return the rows of the best share of each class, in ascending order.

    Parameters
    ----------
    scores : (n,) float
        The higher the better.
    labels : (n,) int
    order : (n,) int
        Of equal scores the tile with the lower number comes first.
    keep
        Share of each class, rounded up, so that at least one tile of it is kept.
    """
    ranked = np.lexsort((order, -scores))
    kept = []
    for label in np.unique(labels):
        members = ranked[labels[ranked] == label]
        kept.append(members[: ceil(keep * len(members) - 1e-9)])  # 0.1 * 30 is slightly more than 3
    return np.sort(np.concatenate(kept)).astype(np.int64)


def _check(pool: TileSet, tiles: TileSet, train: Sequence[str], keep: float) -> None:
    """Refuse tiles that no filter can use, and a pool that depends on a patient outside ``train``."""
    if not 0 < keep <= 1:
        raise InputError(f"keep {keep:g}: expected a share of the pool, above 0 and at most 1")
    require_no_leakage(str(pool.path), training_patients(pool), train)
    if (pool.classes, pool.size) != (tiles.classes, tiles.size):
        raise InputError(
            f"{pool.path}: has tiles of {pool.size[0]} px and classes {pool.classes}, the real ones are of "
            f"{tiles.size[0]} px and {tiles.classes}; draw it for these tiles"
        )
    if not len(tiles.rows_of(train)):
        raise InputError(f"{tiles.path}: has no tile of a training patient; a filter is fitted on these")


def _drawn(pool: TileSet) -> Rows:
    """Return the number under which each tile was drawn."""
    return np.array([row if i is None else i for row, i in enumerate(pool.column("sample_index"))], np.int64)


def _by_class(pool: TileSet, scores: Floats, kept: Rows) -> list[dict[str, Any]]:
    """Count all and kept tiles of each class, with the quantiles of their scores; no class is None."""
    found = []
    for label in np.unique(pool.labels).tolist():
        own = pool.labels == label
        quantiles = np.quantile(scores[own], QUANTILES).tolist()
        found.append(
            {
                "class": None if label < 0 else pool.classes[label],
                "tiles": int(own.sum()),
                "kept": int(own[kept].sum()),
                "least_kept": float(scores[kept[own[kept]]].min()),
                "quantiles": {f"{share:g}": q for share, q in zip(QUANTILES, quantiles, strict=True)},
            }
        )
    return found
