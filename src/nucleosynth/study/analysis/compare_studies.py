"""Two studies compared on the same test patients: another generator, classifier or tiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nucleosynth.data.split import Split
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.statistics.verdict import with_holm
from nucleosynth.study.analysis.comparisons import difference
from nucleosynth.study.analysis.predictions import Predictions
from nucleosynth.study.analysis.record import generator_scores
from nucleosynth.study.design.config import stored_study


def compare_studies(first: Path, second: Path) -> dict[str, Any]:
    """Compare the arms of two studies: those of the same name, and the two primary arms.

    Patients are resampled together; generators and classifier seeds too if both studies have equally many.
    Both have read the test patients before, so the comparison is exploratory and supports no claim.

    Parameters
    ----------
    first, second
        Directories of studies, finished or not.

    Returns
    -------
    ``{"first", "second", "same_tiles", "differences"}``: name, hash, primary arm and generators of each;
    whether both were scored on the same tiles of these patients; and the differences, second minus first, as
    in `~nucleosynth.study.analysis.comparisons.compare_arms`, with Holm's correction for all of them.

    Raises
    ------
    InputError
        A directory without a study or without classes; other test patients; no arm that both have scored.
    """
    ours, theirs = _ScoredStudy(second), _ScoredStudy(first)
    if sorted(set(ours.predictions.groups)) != sorted(set(theirs.predictions.groups)):
        raise InputError(f"{second}: tests other patients than {first}; compare studies of the same split")
    found = [
        difference(
            (ours.predictions, arm), (theirs.predictions, baseline), metric, fraction, seed=ours.study.seed
        )
        for fraction, arm, baseline in _pairs(ours, theirs)
        for metric in ours.study.report.claimed
    ]
    if not found:
        raise InputError(
            f"{first}, {second}: no arm that both have scored on all test patients; run them first"
        )
    return {
        "first": theirs.summary,
        "second": ours.summary,
        "same_tiles": ours.predictions.test_hashes == theirs.predictions.test_hashes,
        "differences": with_holm(found),
    }


class _ScoredStudy:
    """One of the two studies: its settings, its lock and its predictions."""

    def __init__(self, path: Path) -> None:
        self.study = stored_study(path)
        for name in ("tiles", "split.json", "locked.json"):
            if not (path / name).exists():
                raise InputError(f"{path}: there is no {name} yet; run `nucleosynth study run`")
        tiles = TileSet.open(path / "tiles")
        if not tiles.classes:
            raise InputError(f"{path}: has no classes, so no arms to compare")
        self.predictions = Predictions(self.study, tiles, Split.load(path / "split.json"), path)
        self.summary = {
            "name": self.study.name,
            "hash": self.study.protocol_hash,
            "primary": self.predictions.primary(max(self.study.arms.fractions)),
            "generators": generator_scores(self.study, path),
        }


def _pairs(ours: _ScoredStudy, theirs: _ScoredStudy) -> Iterator[tuple[float, str, str]]:
    """Yield data fraction, arm of the second and of the first: of the same name, then the primary arms."""
    for fraction in (
        fraction
        for fraction in ours.study.arms.data_fractions
        if fraction in theirs.study.arms.data_fractions
    ):
        finished = [scored.predictions.arms(fraction) for scored in (ours, theirs)]
        yield from ((fraction, arm, arm) for arm in finished[0] if arm in finished[1])
        arm, baseline = (scored.predictions.primary(fraction) for scored in (ours, theirs))
        if arm is None or baseline is None or (arm == baseline and arm in finished[0]):
            continue
        if ours.predictions.finished(arm, fraction) and theirs.predictions.finished(baseline, fraction):
            yield fraction, arm, baseline
