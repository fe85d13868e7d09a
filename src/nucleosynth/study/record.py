"""The record of a study, assembled from what its directory holds, and the report written from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.runs import environment, now, read_json, read_jsonl
from nucleosynth.seeds import rng
from nucleosynth.study.memorization import pair_pictures
from nucleosynth.study.protocol import StudyConfig, arm_jobs, job_folder
from nucleosynth.study.report import build_report, save_figures
from nucleosynth.study.results import compare_arms, study_verdict, summarise_arms
from nucleosynth.training.metrics import METRICS_FILE, trained_seconds

SHOWN = 32


def write_record(study: StudyConfig, out: Path, *, real_tiles: bool = True) -> Path:
    """Write ``report.json``, ``report.html`` and ``figures/`` from a study's directory.

    Without real tiles the report goes into ``shared-report``, with patients under numbers.

    Returns
    -------
    The path of ``report.html``.
    """
    tiles = TileSet.open(out / "tiles")
    split = Split.load(out / "split.json")
    record = study_record(study, tiles, split, out)
    pictures = study_pictures(study, tiles, split.folds[0], out)
    target = out if real_tiles else out / "shared-report"
    save_figures(record, pictures, target / "figures")
    patients = sorted(set(tiles.patients.tolist()) - {""})
    return build_report(record, pictures, target, real_tiles=real_tiles, patients=patients)


def study_record(study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> dict[str, Any]:
    """Collect everything that ``report.json`` holds, as plain data."""
    protocol = read_json(out / "protocol.json")
    results = _results(study, split, out) if tiles.classes else []
    arms = summarise_arms(results) if results else []
    comparisons = compare_arms(study, tiles, split, out) if results else []
    judged = read_json(out / "fold-0" / "judged-0" / "judged.json")
    return {
        "schema": 1,
        "name": study.name,
        "created": protocol["written"],
        "finished": now(),
        "command": protocol["command"],
        "verdict": study_verdict(study, arms, comparisons, judged),
        "protocol": _protocol(study, tiles, split, protocol),
        "data": _data(tiles, split.folds[0]),
        "results": results,
        "arms": arms,
        "comparisons": comparisons,
        "agreement": judged["agreement"],
        "fidelity": judged["fidelity"],
        "memorization": judged.get("memorization"),
        "generator": {**judged["generator"], **_training(out / "fold-0" / "generator-0")},
        "synthesis": _synthesis(study, out / "fold-0" / "synthetic-0"),
        "test_looks": read_jsonl(out / "test_looks.jsonl"),
        "provenance": _provenance(study, tiles),
    }


def study_pictures(study: StudyConfig, tiles: TileSet, fold: Fold, out: Path) -> dict[str, Any]:
    """Draw tiles at random: real ones of training patients, synthetic ones of the pool or for test masks."""
    train = tiles.rows_of(fold.train)
    pool_path = out / "fold-0" / "synthetic-0"
    losses = read_jsonl(out / "fold-0" / "generator-0" / METRICS_FILE)
    curve = [(record["step"], record["loss"]) for record in losses]
    judged = out / "fold-0" / "judged-0"
    audit = read_json(judged / "judged.json").get("memorization")
    pairs = pair_pictures(tiles, audit, judged / "copies.npy")
    if not tiles.classes:
        held_out, masks = _judged_tiles(study, tiles, fold, out)
        real = {"all": _images(tiles, _pick(train, study.seed))}
        return {
            "real": real,
            "synthetic": {"all": held_out},
            "synthetic_masks": {"all": masks},
            "loss_curve": curve,
            "pairs": pairs,
        }
    pictures: dict[str, Any] = {"real": {}, "synthetic": {}, "synthetic_masks": {}}
    pictures |= {"loss_curve": curve, "pairs": pairs}
    pool = TileSet.open(pool_path) if pool_path.exists() else None
    for index, name in enumerate(tiles.classes):
        pictures["real"][name] = _images(tiles, _pick(train[tiles.labels[train] == index], study.seed))
        if pool is not None:
            rows = _pick(np.flatnonzero(pool.labels == index), study.seed)
            pictures["synthetic"][name] = _images(pool, rows)
            pictures["synthetic_masks"][name] = None if pool.masks is None else np.asarray(pool.masks[rows])
    return pictures


def _judged_tiles(study: StudyConfig, tiles: TileSet, fold: Fold, out: Path) -> tuple[Any, Any]:
    from nucleosynth.study.judging import held_out_rows

    rows = held_out_rows(study, tiles, fold.test)
    made = np.load(out / "fold-0" / "judged-0" / "test.npy")
    shown = _pick(np.arange(len(rows)), study.seed)
    return made[shown], None if tiles.masks is None else np.asarray(tiles.masks[rows[shown]])


def _pick(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    return np.asarray(rng(seed, "shown").permutation(rows)[:SHOWN])


def _images(tiles: TileSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    return np.asarray(tiles.images[rows])


def _results(study: StudyConfig, split: Split, out: Path) -> list[dict[str, Any]]:
    results = []
    for job in arm_jobs(study, len(split.folds)):
        arm: Mapping[str, Any] = job["arm"]  # type: ignore[assignment]
        result = read_json(out / job_folder(job) / "result.json")
        test = result["test"]
        results.append(
            {
                "fold": job["fold"],
                "arm": arm["name"],
                "generator": job["generator"],
                "seed": job["seed"],
                **result,
                "metrics": {
                    key: value for key, value in test.items() if key not in ("confusion", "n", "threshold")
                },
                "confusion": test["confusion"],
            }
        )
    return results


def _protocol(study: StudyConfig, tiles: TileSet, split: Split, written: Mapping[str, Any]) -> dict[str, Any]:
    arms = study.arms.all if tiles.classes else []
    return {
        "hash": written["hash"],
        "arms": [{"arm": arm.name, "kind": arm.kind, "dose": arm.dose} for arm in arms],
        "seeds": study.classifier.seeds,
        "generator_seeds": study.generator.seeds,
        "classifier": study.classifier.model_dump(mode="json"),
        "generator": study.generator.model_dump(mode="json"),
        "synthesis": study.synthesis.model_dump(mode="json"),
        "split_rule": split.rule,
        "primary": study.report.primary,
    }


def _data(tiles: TileSet, fold: Fold) -> dict[str, Any]:
    parts = {}
    for part in ("train", "validation", "test"):
        rows = tiles.rows_of(getattr(fold, part))
        labels = tiles.labels[rows]
        parts[part] = {
            "tiles": len(rows),
            "patients": len(set(tiles.patients[rows].tolist())),
            "per_class": {name: int((labels == index).sum()) for index, name in enumerate(tiles.classes)},
        }
    return {
        "tiles": len(tiles),
        "size": tiles.size[0],
        "mpp": tiles.mpp,
        "classes": tiles.classes,
        "patients": len(set(tiles.patients.tolist()) - {""}),
        "licence": tiles.info["licence"],
        "content_hash": tiles.content_hash,
        "parts": parts,
    }


def _training(folder: Path) -> dict[str, Any]:
    """Return what training recorded; nothing where the study took a generator that was there."""
    if not (folder / "summary.json").exists():
        return {}
    records = read_jsonl(folder / METRICS_FILE)
    summary = read_json(folder / "summary.json")
    return {**summary, "seconds": trained_seconds(folder), "loss": records[-1]["loss"]}


def _synthesis(study: StudyConfig, pool_path: Path) -> dict[str, Any] | None:
    if not pool_path.exists():
        return None
    pool = TileSet.open(pool_path)
    return {
        "tiles": len(pool),
        "per_class": pool.info["labelled"],
        "sampler": study.synthesis.sampler,
        "steps": study.synthesis.steps,
        "guidance": dict(study.synthesis.guidance),
    }


def _provenance(study: StudyConfig, tiles: TileSet) -> dict[str, Any]:
    machine = environment()
    return {
        "versions": machine["versions"],
        "hardware": {
            "cpu": machine["cpu"],
            "cores": machine["cores"],
            "memory_gb": machine["memory_gb"],
            "gpu": machine["gpu"],
        },
        "seeds": {
            "study": study.seed,
            "generators": study.generator.seeds,
            "classifiers": study.classifier.seeds,
        },
        "hashes": {"tileset": tiles.content_hash, "protocol": study.protocol_hash},
    }
