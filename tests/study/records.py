"""Records of studies as `study_record` makes them, without a study: finished, half finished, with one arm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

METRICS = ("balanced_accuracy", "macro_f1", "kappa", "auroc", "accuracy")
SHARES = (1.0, 0.5)
PATIENTS = [f"tnbc:Miller {i}" for i in range(1, 8)]
NEAR = {"precision": 0.611, "recall": 0.322, "density": 0.733, "coverage": 0.444}
CLASSES = ["normal", "atypical"]
PRIMARY = "real+50%"
ARMS: dict[str, tuple[str, float | None, str | None, float]] = {  # kind, dose, filter, score
    "real": ("real", None, None, 0.70),
    "augmented": ("augmented", None, None, 0.715),
    "oversampled": ("oversampled", None, None, 0.71),
    "natural": ("natural", None, None, 0.66),
    "real+25%": ("dose", 0.25, None, 0.72),
    "real+50%": ("dose", 0.5, None, 0.75),
    "real+50%-confidence": ("filtered", 0.5, "confidence", 0.74),
    "shuffled": ("shuffled", 0.5, None, 0.68),
    "held-back": ("held-back", 0.5, None, 0.78),
    "rare-only": ("rare-only", 0.5, None, 0.73),
    "pretrained": ("pretrained", 0.5, None, 0.725),
    "synthetic-only": ("synthetic-only", 1.0, None, 0.62),
}
RIVALS = ["real", "augmented", "oversampled", "natural", "shuffled"]
TO_CHOOSE = {"real+25%": 0.8, "real+50%": 0.8123, "real+50%-confidence": 0.81}


def spread(value: float) -> dict[str, Any]:
    seeds = [value - 0.01, value + 0.01]
    return {"mean": value, "per_seed": seeds, "min": seeds[0], "max": seeds[1]}


def scored(share: float, arms: Collection[str] = tuple(ARMS)) -> dict[str, float]:
    """Return the arms at a data fraction, and their scores."""
    names = [name for name in arms if name != "held-back" or share < 1]
    return {name: ARMS[name][3] - 0.1 * (1 - share) for name in names}


def arm(name: str, share: float) -> dict[str, Any]:
    value = scored(share)[name]
    bins = [{"predicted": p, "observed": p * value, "n": 20} for p in (0.05, 0.3, 0.6, 0.9)]
    return {
        "fraction": share, "arm": name, "runs": 2, "metrics": {m: spread(value) for m in METRICS},
        "confusion": [[60, 10], [4, 6]],
        "per_class": [{"recall": 0.8571, "precision": 0.9375, "f1": 0.8955},
                      {"recall": 0.6, "precision": None, "f1": 0.4615}],
        "calibration": {"ece": spread(0.0567), "brier": spread(0.1234), "reliability": bins},
        "patient_level": {"balanced_accuracy": spread(0.811), "auroc": spread(0.833), "n": 38, "left_out": 2},
    }  # fmt: skip


def compare(
    name: str,
    baseline: str,
    metric: str = "balanced_accuracy",
    share: float = 1.0,
    *,
    half: float | None = 0.03,
) -> dict[str, Any]:
    """Return a comparison with an interval of that half width, or one of few patients."""
    scores = scored(share)
    difference = round(scores[name] - scores[baseline], 4)
    interval = None if half is None else [round(difference - half, 4), round(difference + half, 4)]
    each = {patient: difference + 0.01 * (3 - i) for i, patient in enumerate(PATIENTS)}
    secondary = metric == "balanced_accuracy" and baseline == "real" and (name, share) != (PRIMARY, 1.0)
    return {
        "fraction": share, "arm": name, "baseline": baseline, "metric": metric, "difference": difference,
        "interval": interval, "p_value": None if half is None else 0.0005,
        "p_holm": 0.0432 if secondary and half is not None else None,
        "n_patients": 7 if half is None else 40, "n_seeds": 2, "n_generators": 2,
        "per_patient": each if half is None else {},
        "verdict": f"verdict on {name}: and why",
    }  # fmt: skip


def comparisons(
    arms: Collection[str] = tuple(ARMS), shares: Sequence[float] = SHARES, *, half: float | None = 0.03
) -> list[dict[str, Any]]:
    """Compare every arm with real, and the primary arm with its rivals."""
    return [
        compare(name, baseline, metric, share, half=half)
        for share in shares
        for name in scored(share, arms)
        for baseline in (RIVALS if name == PRIMARY else ["real"])
        for metric in ("balanced_accuracy", "auroc", "kappa")
        if name != baseline and baseline in arms
    ]


def neighbours(value: float) -> dict[str, float]:
    return {"synthetic": value, "real": 0.8, "of_real": value / 0.8}


def sample_record(arms: Collection[str] = tuple(ARMS)) -> dict[str, Any]:
    """Return the record of a finished study with two classes and 95 % intervals.

    With all arms there is one of every kind, at two shares of the patients; with some there is one share.
    """
    shares = SHARES if len(arms) == len(ARMS) else SHARES[:1]
    parts = {"train": (60, 20), "validation": (20, 6), "test": (40, 40)}
    weakest = {"baseline": "augmented", "metric": "auroc", "bound": 0.005}
    return {
        "schema": 3, "name": "small", "created": "2025-01-01T10:00:00Z", "finished": "2025-01-01T10:30:00Z",
        "command": "nucleosynth study run small.yaml",
        "verdict": {"headline": "Synthetic tiles help", "lines": ["By 0.05 on 40 patients."]},
        "missing": [],
        "protocol": {
            "hash": "protocol-hash", "written": "2025-01-01T10:00:00Z", "changed": False,
            "arms": [
                {"arm": a, "kind": kind, "dose": dose, "filter": name}
                for a, (kind, dose, name, _) in ARMS.items() if a in arms
            ],
            "primary_arm": "chosen", "fractions": list(shares), "folds": 1,
            "choice": {"folds": 3, "metric": "auroc"}, "metrics": list(METRICS),
            "seeds": 2, "generator_seeds": 2, "classifier": {"model": "b0"},
            "generator": {"recipe": "unified", "start": "tissue-prior", "path": None},
            "synthesis": {"tiles": 50, "sampler": "spectral", "steps": 10, "guidance": {}},
            "split_rule": "by patient", "primary": "balanced_accuracy",
        },
        "choice": {
            "time": "2025-01-01T10:19:00Z", "protocol_hash": "protocol-hash", "accesses_before": 0,
            "chosen": {
                folder: {"arm": PRIMARY, "by": "3 folds of the training patients", "metric": "auroc",
                         "scores": TO_CHOOSE}
                for folder in ("fold-0", "fold-0-patients-50%")
            },
        },
        "claim": {"arm": PRIMARY, "fraction": 1.0, "rivals": [name for name in RIVALS if name in arms],
                  "metrics": ["balanced_accuracy", "auroc"], "holds": True, "weakest": weakest,
                  "lacking": []},
        "data": {
            "tiles": 120, "size": 32, "mpp": 0.5, "classes": list(CLASSES), "patients": 66,
            "licence": "CC0", "content_hash": "content-hash",
            "parts": {
                name: {"tiles": n, "patients": m, "per_class": {"normal": n - 5, "atypical": 5}}
                for name, (n, m) in parts.items()
            },
            "data_fractions": [
                {"fraction": share, "tiles": 31, "patients": 10, "per_class": {"normal": 28, "atypical": 3}}
                for share in shares if share < 1
            ],
        },
        "results": [
            {"fold": 0, "fraction": share, "arm": name, "generator": 0, "seed": seed,
             "metrics": dict.fromkeys(METRICS, value), "steps": 100, "threshold": 0.4, "seconds": 12.0,
             "validation": {**dict.fromkeys(METRICS, value), "n": 20}, "confusion": [[30, 5], [2, 3]]}
            for share in shares for name, value in scored(share, arms).items() for seed in (0, 1)
        ],
        "arms": [arm(name, share) for share in shares for name in scored(share, arms)],
        "comparisons": comparisons(arms, shares),
        "agreement": {
            "validation": None,
            "test": {"judge": "classical", "kind": "agreement", "iou": 0.6, "dice": 0.75, "chance": 0.123,
                     "ceiling": 0.654, "ceiling_chance": 0.12, "corrected": 0.9, "n": 40,
                     "instances": {"pq": {"value": 0.411, "chance": 0.021, "ceiling": 0.522,
                                          "ceiling_chance": 0.033}}},
        },
        "fidelity": {
            "validation": None,
            "test": {"kid": 0.0412, "kid_interval": [0.033, 0.05], "fid": 31.7, "n": 40, "extractor": "lite0",
                     "real_reference": {"within": 0.0521, "between": 0.0182}, "weights_hash": "weights-hash",
                     "neighbours": {"k": 5, "n": 40, **{name: neighbours(x) for name, x in NEAR.items()}},
                     "warnings": ["few tiles"]},
        },
        "memorization": None,
        "generator": {"generator_id": "generator-one", "steps": 10, "seconds": 5.0, "parameters": 1000,
                      "start": "nucleosynth/tissue-prior",
                      "loss": 0.1, "tiles_seen": 640, "images_per_second": 12.5},
        "generators": [
            {"fraction": share, "generator_id": name, "steps": 10, "kid": kid, "coverage_of_real": 0.555,
             "corrected_agreement": 0.9, "copies": 3}
            for share in shares
            for name, kid in (("generator-one", 0.0412), ("generator-two", 0.0456))
        ],
        "synthesis": {"tiles": 50, "per_class": {"normal": 25, "atypical": 25}, "sampler": "dpmpp-2m",
                      "steps": 10, "guidance": {"class": 1.5}},
        "test_access": [{"time": "2025-01-01T10:20:00Z", "what": "classification", "fold": 0, "fraction": 1.0,
                        "arm": "real"}],
        "provenance": {"versions": {"nucleosynth": "0.1.0", "torch": "2.9"},
                       "hardware": {"cpu": "a cpu", "cores": 2, "gpu": None, "memory_gb": 8.0},
                       "seeds": {"study": 0}, "hashes": {"split": "split-hash"}},
    }  # fmt: skip


def few_patients(arms: Collection[str] = tuple(ARMS)) -> dict[str, Any]:
    """Return the same with seven test patients: differences by patient, and no interval."""
    record = sample_record(arms)
    record["comparisons"] = comparisons(arms, record["protocol"]["fractions"], half=None)
    record["claim"] |= {"holds": False}
    record["claim"]["weakest"] |= {"bound": None}
    record["data"]["parts"]["test"]["patients"] = 7
    record["test_access"][0]["what"] = f"{PATIENTS[2]} and tnbc:Miller 99"
    return record


def half_finished() -> dict[str, Any]:
    """Return a study whose first arm is scored, and its generator not."""
    record = sample_record()
    empty = ("choice", "claim", "agreement", "fidelity", "memorization", "synthesis")
    record |= dict.fromkeys(empty) | {"comparisons": [], "generators": [], "generator": {}, "test_access": []}
    record["arms"] = [
        {k: v for k, v in arm("real", 1.0).items() if k not in ("calibration", "patient_level")}
    ]
    record["results"] = record["results"][:1]
    record["missing"] = ["fold-0/arms/real/generator-0-seed-1", "fold-0/scores-0"]
    record["verdict"] = {"headline": "Not finished: 1 classifiers are missing", "lines": []}
    return record


def one_arm() -> dict[str, Any]:
    """Return a finished study of real tiles alone."""
    record = sample_record()
    record |= {"comparisons": [], "claim": None, "arms": [arm("real", 1.0)], "results": record["results"][:2]}
    record["protocol"] |= {"arms": record["protocol"]["arms"][:1], "fractions": [1.0]}
    record["choice"]["chosen"] = {"fold-0": {"arm": None, "by": "protocol", "metric": None, "scores": {}}}
    return record


def audit(copies: int) -> dict[str, Any]:
    """Return the copies audit of a generator."""

    def rate(k: int, n: int = 60) -> dict[str, Any]:
        return {"copies": k, "rate": k / n, "interval": [0.0, 0.5], "median": 0.4567}

    space = {"threshold": 0.6789, "synthetic": rate(copies), "control": rate(3), "held_out": rate(1)}
    return {
        "n": {"train": 1234, "synthetic": 60, "control": 60, "held_out": 60, "calibration": 60},
        "structure": {**space, "ratio": 0.9},
        "features": space,
        "copies": {"synthetic": rate(copies), "control": rate(3), "held_out": rate(1)},
        "p_value": 0.5,
        "verdict": "no more copies shown than chance",
        "extractor": "lite0",
        "warnings": ["few held-out tiles"],
        "pairs": [
            {"synthetic": 0, "train": 3, "turn": 0, "shift": [0, 0], "structure": 0.6, "features": 0.7}
        ],
        "patients_not_compared": 31,
    }


def morphology() -> dict[str, Any]:
    """Return scores as of `compare_morphology`, of two measures."""

    def apart(distance: float | None) -> dict[str, Any]:
        return {"n_real": 900, "n_synthetic": 800, "median_real": 30.5, "median_synthetic": 33.25,
                "distance": 3.0, "distance_sd": distance, "real_reference": 1.5, "real_reference_sd": 0.371,
                "reference_patients": 8}  # fmt: skip

    group = {"tiles": 40, "nuclei": 1000, "whole_nuclei": 777, "size_grades": None}
    measures = {"area_um2": apart(0.268), "chromatin_cv": apart(None)}
    return {
        "masks": "found by judge", "mpp": 0.5, "benign": {"diameter_um": None, "rule": "none"},
        "real": group, "synthetic": group, "measures": {"all": measures, "atypical": measures},
    }  # fmt: skip


def sample_pictures() -> dict[str, Any]:
    """Return tiles of noise, masks of one square, and a loss that was once not a number."""
    random = np.random.default_rng(0)

    def tiles() -> np.ndarray:
        return random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)

    masks = np.zeros((4, 32, 32), np.int32)
    masks[:, 8:20, 8:20] = 1
    return {
        "real": {"normal": tiles(), "atypical": tiles()},
        "synthetic": {"normal": tiles(), "atypical": tiles()},
        "synthetic_masks": {"normal": masks, "atypical": None},
        "loss_curve": [(1, 0.9), (2, float("nan")), (3, 0.5)],
    }


def segmentation_arms(*, half: float | None = 0.03) -> dict[str, Any]:
    """Return segmenters of three arms, as `read_segmenters` does."""
    reached = {"real": 0.5, "synthetic-only": 0.4, "both": 0.55}
    arms = [
        {"fraction": 1.0, "arm": name, "runs": 2, "metrics": {"pq": spread(value), "f1": spread(value + 0.1)}}
        for name, value in reached.items()
    ]
    comparisons = [
        {
            "fraction": 1.0, "arm": name, "baseline": "real", "metric": metric, "n_patients": 40,
            "difference": value - 0.5, "verdict": "helps",
            "interval": None if half is None else [value - 0.5 - half, value - 0.5 + half],
            "per_patient": dict.fromkeys(PATIENTS, value) if half is None else {},
        }
        for name, value in reached.items() if name != "real" for metric in ("pq", "f1")
    ]  # fmt: skip
    return {"kind": "agreement", "tiles": 123, "steps": 900, "arms": arms, "comparisons": comparisons}
