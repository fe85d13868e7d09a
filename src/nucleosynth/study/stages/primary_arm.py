"""The primary arm: chosen and locked before the test patients are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.data.split import Fold
from nucleosynth.data.test_access import TEST_ACCESS, log_protocol
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.files import append_jsonl, now, read_json, read_jsonl, write_json
from nucleosynth.study.design.arms import CHOSEN
from nucleosynth.study.design.config import AUROC, StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import LOCK
from nucleosynth.study.design.schedule import arm_jobs, outer_fits


def choose_arms(study: StudyConfig, out: Path, folds: int) -> dict[str, dict[str, Any]]:
    """Choose the primary arm of every fit whose test patients will be scored.

    The candidate with the highest ``choice.metric`` is chosen: the mean over inner folds, generators and
    classifier seeds or, without inner folds, on the validation patients. If two are equal, the earlier in the
    list is chosen. Inner folds in which the metric is undefined, as with one class, do not count.

    Returns
    -------
    Folder of the fit to ``{"arm", "by", "metric", "scores": {arm: mean}}``; ``arm`` is None if no arm has
    real and synthetic tiles, ``by`` is ``protocol`` if the arm is named there.
    """
    return {fit.folder: _choose(study, out, fit) for fit in outer_fits(study, folds)}


def _choose(study: StudyConfig, out: Path, fit: Fit) -> dict[str, Any]:
    metric, candidates = study.choice.metric, [arm.name for arm in study.arms.candidates]
    if not study.undecided:
        arm = next(iter(candidates), None) if study.report.arm == CHOSEN else study.report.arm
        return {"arm": arm, "by": "protocol", "metric": None, "scores": {}}
    parts = [_means(study, out, one, candidates) for one in _choosing(study, fit)]
    defined = [means for means in parts if np.isfinite(list(means.values())).all()]
    if not defined:
        raise InputError(
            f"{out}: {metric} is undefined for some candidate in every part that chooses, so none can be "
            "chosen; start again with one named in report.arm, or another choice.metric"
        )
    scores = {name: float(np.mean([means[name] for means in defined])) for name in candidates}
    by = f"{study.inner_folds} folds of the training patients" if study.inner_folds else "validation patients"
    return {"arm": max(scores, key=scores.__getitem__), "by": by, "metric": metric, "scores": scores}


def _choosing(study: StudyConfig, fit: Fit) -> list[Fit]:
    """Return the fits whose validation patients are used to choose the arm of a fit."""
    return fit.within(study.inner_folds) or [fit]


def _means(study: StudyConfig, out: Path, fit: Fit, candidates: list[str]) -> dict[str, float]:
    """Return the metric of each candidate on the validation patients of a fit: the mean over its runs."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for job in arm_jobs(study, fit):
        if job.name in found:
            value = read_json(out / job.folder / "result.json")["validation"][study.choice.metric]
            found[job.name].append(np.nan if value is None else value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def refuse_choice(study: StudyConfig, tiles: TileSet, fits: Mapping[Fit, Fold]) -> None:
    """Refuse, before hours of training, a choice by AUROC on tiles of one class.

    Raises
    ------
    InputError
        No part that is used to choose the arm of a fit has two classes.
    """
    if not (tiles.classes and study.undecided and study.choice.metric == AUROC):
        return
    for fit in (fit for fit in fits if fit.inner is None):
        parts = [fits[one].validation for one in _choosing(study, fit)]
        if not any(len(_classes_of(tiles, patients)) > 1 for patients in parts):
            raise InputError(
                f"{fit.folder}: the patients used to choose an arm have one class, and AUROC needs two; "
                "give other validation patients, or choice.folds, or name an arm in report.arm"
            )


def _classes_of(tiles: TileSet, patients: list[str]) -> set[int]:
    return set(tiles.labels[tiles.rows_of(patients)].tolist()) - {-1}


def lock_choice(
    study: StudyConfig, out: Path, folds: int, *, test: Iterable[str] = (), made_of: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the choice to ``locked.json``, once; after that the test patients may be read.

    Parameters
    ----------
    test
        Test patients of all folds; other protocols that read them on this machine are named.
    made_of
        As in `log_protocol`.

    Returns
    -------
    The content of ``locked.json``: ``{"time", "protocol_hash", "chosen", "accesses_before", "earlier"}``.
    """
    stored = out / LOCK
    if not stored.exists():
        locked = {
            "time": now(),
            "protocol_hash": study.protocol_hash,
            "chosen": choose_arms(study, out, folds),
            "accesses_before": len(read_jsonl(out / TEST_ACCESS)),
            "earlier": log_protocol(
                test, name=study.name, protocol_hash=study.protocol_hash, made_of=made_of
            ),
        }
        write_json(stored, locked)
    return dict(read_json(stored))


def record_test_access(out: Path, what: str, *, fit: Fit, **names: object) -> None:
    """Record an access to the test patients just before it; refuse it while the choice is open.

    Raises
    ------
    InputError
        The primary arm is not locked yet.
    """
    if not (out / LOCK).exists():
        raise InputError(f"{out}: the primary arm is not locked; the test patients are read after that")
    append_jsonl(
        out / TEST_ACCESS, {"time": now(), "what": what, "fold": fit.fold, "fraction": fit.fraction, **names}
    )


def read_lock(out: Path) -> dict[str, Any] | None:
    """Return the content of ``locked.json``; None if it does not exist yet."""
    return dict(read_json(out / LOCK)) if (out / LOCK).exists() else None


def chosen_arm(locked: Mapping[str, Any] | None, fit: Fit) -> str | None:
    """Return the primary arm of a fit; None before the lock, and if there is none, as without classes."""
    if locked is None:
        return None
    found: Mapping[str, Any] = locked["chosen"].get(fit.folder, {})
    return found.get("arm")
