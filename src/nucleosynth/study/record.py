"""The record of a study, assembled from what its directory holds, and the report written from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleosynth.data.ledger import LOOKS
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.runs import now, read_json, read_jsonl
from nucleosynth.seeds import rng
from nucleosynth.study.comparisons import claim, compare_arms
from nucleosynth.study.conclusion import study_verdict
from nucleosynth.study.fits import Fit, generator_folder, judged_folder, pool_folder, share_of_patients
from nucleosynth.study.memorization import pair_pictures
from nucleosynth.study.morphology import MORPHOLOGY
from nucleosynth.study.outcomes import Outcomes
from nucleosynth.study.protocol import StudyConfig, outer_fits
from nucleosynth.study.report.page import build_report, save_figures
from nucleosynth.study.results import read_results, summarise_arms
from nucleosynth.study.segmentation.summary import read_segmenters
from nucleosynth.training.metrics import METRICS_FILE, trained_seconds

SHOWN = 32


def write_record(study: StudyConfig, out: Path, *, real_tiles: bool = True) -> Path:
    """Write ``report.json``, ``report.html`` and ``figures/`` from a study's directory.

    Without real tiles, and without variations of them, the report goes into ``shared-report``, with patients
    under numbers.

    Returns
    -------
    The path of ``report.html``.
    """
    tiles = TileSet.open(out / "tiles")
    split = Split.load(out / "split.json")
    record = study_record(study, tiles, split, out)
    if not real_tiles:
        record = {**record, "command": "nucleosynth study run"}  # it names folders of this machine
    pictures = study_pictures(study, tiles, split.folds[0], out)
    if not real_tiles and study.synthesis.variation is not None:  # too near to the real tiles they vary
        pictures = {name: value for name, value in pictures.items() if not name.startswith("synthetic")}
    target = out if real_tiles else out / "shared-report"
    save_figures(record, pictures, target / "figures")
    patients = sorted(set(tiles.patients.tolist()) - {""})
    return build_report(record, pictures, target, real_tiles=real_tiles, patients=patients)


def study_record(study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> dict[str, Any]:
    """Collect everything that ``report.json`` holds, as plain data; of a study on its way, what is there."""
    protocol = read_json(out / "protocol.json")
    folds = len(split.folds) if tiles.classes else 0
    results, missing = read_results(study, out, folds)
    segmenters, unscored = read_segmenters(study, out, len(split.folds))
    missing += unscored
    outcomes = Outcomes(study, tiles, split, out)
    comparisons = compare_arms(study, outcomes) if results else []
    claimed = claim(study, outcomes, comparisons)
    first = outer_fits(study, 1)[0]
    judged = _judged(out, first, 0)
    return {
        "schema": 2,
        "name": study.name,
        "created": protocol["written"],
        "finished": read_json(out / "DONE")["finished"] if (out / "DONE").exists() else now(),
        "command": protocol["command"],
        "verdict": study_verdict(
            study,
            claimed,
            comparisons,
            judged,
            segmenters=segmenters,
            missing=len(missing),
            classes=bool(tiles.classes),
        ),
        "missing": missing if judged else [*missing, f"{judged_folder(out, first, 0).relative_to(out)}"],
        "protocol": _protocol(study, tiles, split, protocol),
        "choice": outcomes.locked,
        "claim": claimed,
        "data": _data(study, tiles, split.folds[0]),
        "results": results,
        "arms": summarise_arms(results, outcomes),
        "comparisons": comparisons,
        "segmentation": segmenters,
        "agreement": judged.get("agreement"),
        "fidelity": judged.get("fidelity"),
        "memorization": judged.get("memorization"),
        "morphology": _morphology(out, first),
        "generator": {**judged.get("generator", {}), **_training(generator_folder(out, first, 0))},
        "generators": generator_scores(study, out),
        "synthesis": _synthesis(study, pool_folder(out, first, 0)),
        "test_looks": read_jsonl(out / LOOKS),
        "provenance": _provenance(study, tiles, out),
    }


def generator_scores(study: StudyConfig, out: Path) -> list[dict[str, Any]]:
    """Return the few figures of each judged generator that tell it from others."""
    return [
        {"share": fit.share, **_scores(one)}
        for fit in outer_fits(study, 1)
        for seed in range(study.generator.seeds)
        if (one := _judged(out, fit, seed))
    ]


def _judged(out: Path, fit: Fit, generator: int) -> dict[str, Any]:
    stored = judged_folder(out, fit, generator) / "judged.json"
    return dict(read_json(stored)) if stored.exists() else {}


def _morphology(out: Path, fit: Fit) -> dict[str, Any] | None:
    stored = judged_folder(out, fit, 0) / MORPHOLOGY
    return dict(read_json(stored)) if stored.exists() else None


def _scores(judged: Mapping[str, Any]) -> dict[str, Any]:
    test = (judged["fidelity"] or {}).get("test") or {}
    covered = (test.get("neighbours") or {}).get("coverage") or {}
    agreed = (judged["agreement"] or {}).get("test") or {}
    copied = ((judged["memorization"] or {}).get("copies") or {}).get("synthetic") or {}
    return {
        "generator_id": judged["generator"]["generator_id"],
        "steps": judged["generator"]["steps"],
        "kid": test.get("kid"),
        "coverage_of_real": covered.get("of_real"),
        "corrected_agreement": agreed.get("corrected"),
        "copies": copied.get("copies"),
    }


def study_pictures(study: StudyConfig, tiles: TileSet, fold: Fold, out: Path) -> dict[str, Any]:
    """Draw tiles at random: real ones of training patients, synthetic ones of the pool or for test masks."""
    train, first = tiles.rows_of(fold.train), outer_fits(study, 1)[0]
    pool_path = pool_folder(out, first, 0)
    losses = read_jsonl(generator_folder(out, first, 0) / METRICS_FILE)
    curve = [(record["step"], record["loss"]) for record in losses]
    judged = judged_folder(out, first, 0)
    pairs = pair_pictures(_judged(out, first, 0).get("memorization"), judged)
    pictures: dict[str, Any] = {"real": {}, "synthetic": {}, "synthetic_masks": {}}
    pictures |= {"loss_curve": curve, "pairs": pairs}
    if not tiles.classes:
        pictures["real"]["all"] = _images(tiles, _pick(train, study.seed))
        if (judged / "test.npy").exists():
            held_out, masks = _judged_tiles(study, tiles, fold, out)
            pictures["synthetic"]["all"], pictures["synthetic_masks"]["all"] = held_out, masks
        return pictures
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
    made = np.load(judged_folder(out, outer_fits(study, 1)[0], 0) / "test.npy")
    shown = _pick(np.arange(len(rows)), study.seed)
    return made[shown], None if tiles.masks is None else np.asarray(tiles.masks[rows[shown]])


def _pick(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    return np.asarray(rng(seed, "shown").permutation(rows)[:SHOWN])


def _images(tiles: TileSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    return np.asarray(tiles.images[rows])


def _protocol(study: StudyConfig, tiles: TileSet, split: Split, written: Mapping[str, Any]) -> dict[str, Any]:
    arms = study.arms.all if tiles.classes else []
    return {
        "hash": written["hash"],
        "written": written["written"],
        "changed": written["hash"] != study.protocol_hash,
        "arms": [{"arm": arm.name, "kind": arm.kind, "dose": arm.dose, "filter": arm.filter} for arm in arms],
        "primary_arm": study.report.arm,
        "fractions": study.arms.shares,
        "folds": len(split.folds),
        "choice": study.choice.model_dump(mode="json"),
        "metrics": study.report.shown,
        "seeds": study.classifier.seeds,
        "generator_seeds": study.generator.seeds,
        "classifier": study.classifier.model_dump(mode="json"),
        "generator": study.generator.model_dump(mode="json"),
        "synthesis": study.synthesis.model_dump(mode="json"),
        "split_rule": split.rule,
        "primary": study.report.primary,
    }


def _data(study: StudyConfig, tiles: TileSet, fold: Fold) -> dict[str, Any]:
    return {
        "tiles": len(tiles),
        "size": tiles.size[0],
        "mpp": tiles.mpp,
        "classes": tiles.classes,
        "patients": len(set(tiles.patients.tolist()) - {""}),
        "licence": tiles.info["licence"],
        "content_hash": tiles.content_hash,
        "parts": {part: _counts(tiles, getattr(fold, part)) for part in ("train", "validation", "test")},
        "shares": [
            {"share": share, **_counts(tiles, share_of_patients(tiles, fold.train, share, seed=study.seed))}
            for share in study.arms.shares
            if share < 1
        ],
    }


def _counts(tiles: TileSet, patients: list[str]) -> dict[str, Any]:
    rows = tiles.rows_of(patients)
    labels = tiles.labels[rows]
    return {
        "tiles": len(rows),
        "patients": len(set(tiles.patients[rows].tolist())),
        "per_class": {name: int((labels == index).sum()) for index, name in enumerate(tiles.classes)},
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


def _provenance(study: StudyConfig, tiles: TileSet, out: Path) -> dict[str, Any]:
    machine = read_json(out / "environment.json")  # where the study began, not where it is reported
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
