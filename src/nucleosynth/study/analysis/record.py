"""The record of a study, assembled from what its directory holds, and the report written from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nucleosynth.data.split import Fold, Split
from nucleosynth.data.test_access import TEST_ACCESS
from nucleosynth.data.tileset import TileSet
from nucleosynth.files import now, read_json, read_jsonl
from nucleosynth.study.analysis.claim import claim
from nucleosynth.study.analysis.comparisons import compare_arms
from nucleosynth.study.analysis.conclusion import study_verdict
from nucleosynth.study.analysis.predictions import Predictions
from nucleosynth.study.analysis.results import read_results, summarise_arms
from nucleosynth.study.analysis.segmenter_summary import read_segmenters
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit, draw_data_fraction
from nucleosynth.study.design.schedule import outer_fits
from nucleosynth.training.metrics import METRICS_FILE, trained_seconds


def study_record(study: StudyConfig, tiles: TileSet, split: Split, out: Path) -> dict[str, Any]:
    """Collect the content of ``report.json`` as plain data; of an unfinished study, the results so far."""
    protocol = read_json(out / "protocol.json")
    folds = len(split.folds) if tiles.classes else 0
    results, missing = read_results(study, out, folds)
    segmenters, unscored = read_segmenters(study, out, len(split.folds))
    missing += unscored
    predictions = Predictions(study, tiles, split, out)
    comparisons = compare_arms(study, predictions) if results else []
    claimed = claim(study, predictions, comparisons)
    first = outer_fits(study, 1)[0]
    scores = read_scores(out, first, 0)
    return {
        "schema": 3,
        "name": study.name,
        "created": protocol["written"],
        "finished": read_json(out / "DONE")["finished"] if (out / "DONE").exists() else now(),
        "command": protocol["command"],
        "verdict": study_verdict(
            study,
            claimed,
            comparisons,
            scores,
            segmenters=segmenters,
            missing=len(missing),
            classes=bool(tiles.classes),
        ),
        "missing": missing if scores else [*missing, first.scores(0)],
        "protocol": _protocol(study, tiles, split, protocol),
        "choice": predictions.locked,
        "claim": claimed,
        "data": _data(study, tiles, split.folds[0]),
        "results": results,
        "arms": summarise_arms(results, predictions),
        "comparisons": comparisons,
        "segmentation": segmenters,
        "agreement": scores.get("agreement"),
        "fidelity": scores.get("fidelity"),
        "memorization": scores.get("memorization"),
        "morphology": _morphology(out, first),
        "generator": {**scores.get("generator", {}), **_training(out / first.generator(0))},
        "generators": generator_scores(study, out),
        "synthesis": _synthesis(study, out / first.pool(0)),
        "test_access": read_jsonl(out / TEST_ACCESS),
        "provenance": _provenance(study, tiles, out),
    }


def generator_scores(study: StudyConfig, out: Path) -> list[dict[str, Any]]:
    """Return a few scores of each scored generator, to compare generators."""
    return [
        {"fraction": fit.fraction, **_scores(one)}
        for fit in outer_fits(study, 1)
        for seed in range(study.generator.seeds)
        if (one := read_scores(out, fit, seed))
    ]


def read_scores(out: Path, fit: Fit, generator: int) -> dict[str, Any]:
    """Return the scores of a generator, with the search for copies; empty before it was scored."""
    folder = out / fit.scores(generator)
    if not (folder / "generator-scores.json").exists():
        return {}
    copies = folder / "memorization.json"
    found = read_json(copies) if copies.exists() else {"memorization": None}
    return {**read_json(folder / "generator-scores.json"), **found}


def _morphology(out: Path, fit: Fit) -> dict[str, Any] | None:
    stored = out / fit.scores(0) / "morphology.json"
    return dict(read_json(stored)) if stored.exists() else None


def _scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    test = (scores["fidelity"] or {}).get("test") or {}
    covered = (test.get("neighbours") or {}).get("coverage") or {}
    agreed = (scores["agreement"] or {}).get("test") or {}
    copied = ((scores["memorization"] or {}).get("copies") or {}).get("synthetic") or {}
    return {
        "generator_id": scores["generator"]["generator_id"],
        "steps": scores["generator"]["steps"],
        "kid": test.get("kid"),
        "coverage_of_real": covered.get("of_real"),
        "corrected_agreement": agreed.get("corrected"),
        "copies": copied.get("copies"),
    }


def _protocol(study: StudyConfig, tiles: TileSet, split: Split, written: Mapping[str, Any]) -> dict[str, Any]:
    arms = study.arms.all if tiles.classes else []
    return {
        "hash": written["hash"],
        "written": written["written"],
        "changed": written["hash"] != study.protocol_hash,
        "arms": [{"arm": arm.name, "kind": arm.kind, "dose": arm.dose, "filter": arm.filter} for arm in arms],
        "primary_arm": study.report.arm,
        "fractions": study.arms.data_fractions,
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
        "data_fractions": [
            {
                "fraction": fraction,
                **_counts(tiles, draw_data_fraction(tiles, fold.train, fraction, seed=study.seed)),
            }
            for fraction in study.arms.data_fractions
            if fraction < 1
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
    """Return what training recorded; nothing where the study uses a pretrained generator."""
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
    machine = read_json(out / "environment.json")  # the machine that ran the study
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
