"""A study from tiles to report: stages that read and write the study's directory, each resumable."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth import progress
from nucleosynth.data.split import Fold, Split, check_split
from nucleosynth.data.split_rules import make_split
from nucleosynth.data.test_access import require_access_log
from nucleosynth.data.tileset import TileSet
from nucleosynth.engine import Engine, JobFunction, LocalEngine
from nucleosynth.errors import NucleosynthError, WorkError
from nucleosynth.files import now, write_json
from nucleosynth.runs import Run, open_run
from nucleosynth.segmentation.frames import import_with_nuclei
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.study.design.fits import Fit, fit_patients
from nucleosynth.study.design.schedule import all_fits, arm_jobs, fit_generators, outer_fits, segmenter_jobs
from nucleosynth.study.report.write import write_record
from nucleosynth.study.stages.generators import (
    generate,
    pretrained_generator,
    refuse_filters,
    refuse_synthesis,
    score,
)
from nucleosynth.study.stages.leakage import refuse_leakage
from nucleosynth.study.stages.primary_arm import LOCK, chosen_arm, lock_choice, refuse_choice

if TYPE_CHECKING:
    from nucleosynth.diffusion.generator import Generator

_log = logging.getLogger(__name__)


def run_study(
    study: StudyConfig | Path | str,
    *,
    out: Path | str,
    root: Path | str | None = None,
    device: str = "auto",
    engine: Engine | None = None,
    overrides: Mapping[str, str] | Sequence[str] = (),
) -> Path:
    """Run a study, or go on with it where it was, and write its report.

    Parameters
    ----------
    study
        A study or the path of its YAML file.
    out
        The study's run directory.
    root
        Folder that the paths in ``data`` and ``split`` are relative to; None takes ``NUCLEOSYNTH_DATA``. Not
        a setting: data counts by content.
    engine
        Who runs the arms; None runs them one after the other in this process.

    Returns
    -------
    The path of ``report.html``.

    Raises
    ------
    InputError
        Bad data, split or settings; a generator that saw a patient outside the training part.
    WorkError
        An arm that failed; the others are kept, and the same command tries it again.
    """
    if not isinstance(study, StudyConfig):
        study = load_study(Path(study), overrides)
    out = Path(out)
    with open_run(out, kind="study", config={"study": study.stated, "hash": study.protocol_hash}) as run:
        if not run.done:
            _stages(study, run, data_root(root), device, engine or LocalEngine())
    return out / "report.html"


def data_root(root: Path | str | None) -> Path:
    """Return the given data root, else ``NUCLEOSYNTH_DATA``, else the working directory."""
    return Path(root or os.environ.get("NUCLEOSYNTH_DATA") or ".")


def _stages(study: StudyConfig, run: Run, root: Path, device: str, engine: Engine) -> None:
    out = run.path
    _write_protocol(study, out)
    from nucleosynth.study.stages.classifiers import (
        run_arm,
        score_classifier_on_test,
        score_segmenter_on_test,
    )
    from nucleosynth.study.stages.memorization import initial_weights_tiles
    from nucleosynth.study.stages.segmenters import run_segmenter

    tiles = study_tiles(study, out, root)
    also = initial_weights_tiles(study, tiles, root)
    split = _split(study, tiles, out, root)
    folds = len(split.folds)
    outer = outer_fits(study, folds)
    patients = {
        fit: fit_patients(tiles, split, fit, inner=study.inner_folds, seed=study.seed)
        for fit in all_fits(study, folds)
    }
    pretrained = pretrained_generator(study)
    _refuse_early(study, tiles, split, patients, pretrained)
    common = {"out": str(out), "study": study.model_dump(mode="json"), "device": device}
    run_jobs = partial(_run_jobs, common=common, engine=engine)

    def fit_anew(fit: Fit, chosen: str | None = None) -> None:
        fold = patients[fit]
        for seed in range(fit_generators(study, fit)):
            generate(study, tiles, fold, fit, out=out, seed=seed, device=device, chosen=chosen)
        if tiles.classes:
            jobs = arm_jobs(study, fit, chosen)
            run_jobs(run_arm, ({**job, "patients": fold.model_dump()} for job in jobs))
        run_jobs(run_segmenter, ({**job, "patients": fold.train} for job in segmenter_jobs(study, fit)))

    test = {patient for fold in split.folds for patient in fold.test}
    made_of = [tiles.content_hash, *([pretrained.generator_id] if pretrained else ())]
    lock = partial(lock_choice, study, out, folds if tiles.classes else 0, test=test, made_of=made_of)
    for fit in patients:
        if fit.inner is not None:
            fit_anew(fit)
    locked = lock() if study.inner_folds else None  # without inner folds the arms themselves decide
    for fit in outer:
        fit_anew(fit, chosen_arm(locked, fit))
    locked = lock()
    for fit in outer:
        if tiles.classes:
            run_jobs(score_classifier_on_test, arm_jobs(study, fit, chosen_arm(locked, fit)))
        run_jobs(score_segmenter_on_test, segmenter_jobs(study, fit))
        for seed in range(study.generator.seeds if fit.fraction == max(study.arms.fractions) else 1):
            score(study, tiles, patients[fit], fit, out=out, seed=seed, device=device, also=also)
    write_record(study, out)
    made = [path.name for path in sorted(out.iterdir()) if path.suffix in (".csv", ".md")]
    run.finish(["report.json", "report.html", "split.json", LOCK, *made])


def _write_protocol(study: StudyConfig, out: Path) -> None:
    """Write down what is asked, once, before anything is done."""
    stored = out / "protocol.json"
    if stored.exists():
        return
    command = shlex.join(["nucleosynth", *sys.argv[1:]])
    write_json(stored, {"written": now(), "hash": study.protocol_hash, "command": command})


def _refuse_early(
    study: StudyConfig,
    tiles: TileSet,
    split: Split,
    patients: Mapping[Fit, Fold],
    pretrained: Generator | None,
) -> None:
    """Refuse before hours of training what would be refused after them."""
    from nucleosynth.study.stages.generator_scores import mask_judge

    mask_judge(study, tiles)
    refuse_filters(study, tiles)
    refuse_choice(study, tiles, patients)
    refuse_leakage(study, tiles, split, patients)
    refuse_synthesis(study, tiles, next(iter(patients.values())), pretrained)
    require_access_log()


def study_tiles(study: StudyConfig, out: Path, root: Path) -> TileSet:
    """Import the tiles of a study into ``out/tiles`` once, or open them there.

    Nuclei are found in frames that lack them, before tiles are cut. ``root`` is as in `run_study`.
    """
    final = out / "tiles"
    if final.exists():
        return TileSet.open(final)
    return import_with_nuclei(study.data, study.tiles, study.segmenter.make, root=root, out=final)


def _split(study: StudyConfig, tiles: TileSet, out: Path, root: Path) -> Split:
    stored = out / "split.json"
    if stored.exists():
        split = Split.load(stored)
        check_split(tiles, split)
        return split
    split = make_split(tiles, study.split, root)
    split.save(stored)
    return split


def _run_jobs(
    function: JobFunction, jobs: Iterable[Mapping[str, Any]], common: Mapping[str, Any], engine: Engine
) -> None:
    """Run a function over jobs; the others go on where one fails, which is told at the end."""
    every = [{**job, **common} for job in jobs]
    failed: list[tuple[str, Exception]] = []
    with progress.task("arms", len(every)) as update:
        for number, (job, result) in enumerate(engine.map(function, every)):
            name = str(job["folder"])
            if isinstance(result, Exception):
                failed.append((name, result))
                _log.error("%s: %s", name, result)
            update(number + 1, name)
    if not failed:
        return
    name, error = failed[0]
    more = f" ({len(failed)} of {len(every)} arms failed)" if len(failed) > 1 else ""
    if isinstance(error, NucleosynthError):
        raise type(error)(f"{name}: {error}{more}") from error
    raise WorkError(f"{name}: {type(error).__name__}: {error}{more}; run again to try it again") from error
