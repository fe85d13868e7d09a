"""One arm with one seed: a job that any process can run, given the study's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.classify.mixture import Source, class_frequencies
from nucleosynth.classify.train import train_classifier
from nucleosynth.data.split import Fold, Split, require_unseen
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.runs import append_jsonl, now
from nucleosynth.study.protocol import StudyConfig, job_folder


def run_arm(job: Mapping[str, object]) -> dict[str, Any]:
    """Train and score the classifier of one arm.

    Parameters
    ----------
    job
        ``{"out", "study", "device", "fold", "arm", "generator", "seed"}``: plain data; ``out`` is the study's
        directory, which holds tiles, split and the synthetic pools.

    Returns
    -------
    The content of ``result.json`` with the job's names added.
    """
    out = Path(str(job["out"]))
    study = StudyConfig.model_validate(job["study"])
    arm: Mapping[str, Any] = job["arm"]  # type: ignore[assignment]
    number, generator, seed = (int(str(job[name])) for name in ("fold", "generator", "seed"))
    tiles = TileSet.open(out / "tiles")
    fold = Split.load(out / "split.json").folds[number]
    sources, pool_hash = arm_sources(arm, tiles, fold, out / f"fold-{number}" / f"synthetic-{generator}")
    natural = class_frequencies(tiles.labels[tiles.rows_of(fold.train)], len(tiles.classes))
    names = {"fold": number, "arm": arm["name"], "generator": generator, "seed": seed}
    result = train_classifier(
        sources,
        study.classifier,
        natural=natural,
        balance=arm["balance"],
        evaluate={part: (tiles, tiles.rows_of(getattr(fold, part))) for part in ("validation", "test")},
        out=out / job_folder(job),
        settings={
            "study": {
                "arm": dict(arm),
                "tileset": tiles.content_hash,
                "pool": pool_hash,
                "fold": fold.model_dump(),
            }
        },
        seed=study.seed * 1000 + seed,
        device=str(job["device"]),
        before_test=lambda: append_jsonl(
            out / "test_looks.jsonl",
            {"time": now(), "what": "classifier scored on the test patients", **names},
        ),
    )
    return {**names, **result}


def arm_sources(
    arm: Mapping[str, Any], tiles: TileSet, fold: Fold, pool_path: Path
) -> tuple[list[Source], str | None]:
    """Return what an arm trains on, and the hash of its synthetic pool.

    Raises
    ------
    InputError
        The pool's donors are not all training patients of this fold, or a dose asks for more than the pool.
    """
    train = tiles.rows_of(fold.train)
    train = train[tiles.labels[train] >= 0]
    dose = arm["dose"]
    if dose is None:
        return [Source(tiles, train, 1.0)], None
    pool = TileSet.open(pool_path)
    require_unseen(str(pool_path), pool.info["provenance"]["patients"], fold.train)
    require_unseen(str(pool_path), {str(p) for p in pool.patients if p}, fold.train)
    rows = np.arange(len(pool))
    share = dose
    if isinstance(dose, int):
        if dose > len(pool):
            raise InputError(
                f"arm {arm['name']}: the pool holds {len(pool)} tiles; raise synthesis.tiles to {dose}"
            )
        rows, share = rows[:dose], dose / (dose + len(train))
    return [Source(tiles, train, 1.0 - share), Source(pool, rows, share)], pool.content_hash
