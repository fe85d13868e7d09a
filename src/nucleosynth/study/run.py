"""A study from tiles to report: stages that read and write the study's directory, each resumable."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import partial
from pathlib import Path

from nucleosynth import progress
from nucleosynth.arguments import as_path, as_text, shown
from nucleosynth.data.split import Split, check_split
from nucleosynth.data.split_rules import make_split
from nucleosynth.data.tileset import TileSet
from nucleosynth.engine import Engine, LocalEngine
from nucleosynth.errors import InputError, NucleosynthError, WorkError
from nucleosynth.files import now, write_json
from nucleosynth.runs import Run, open_run
from nucleosynth.segmentation.frames import import_with_nuclei
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.study.design.fits import Fit, fit_patients
from nucleosynth.study.design.jobs import LOCK, Job, waves
from nucleosynth.study.design.schedule import all_fits, outer_fits, scoring_jobs, training_jobs
from nucleosynth.study.report.notebook import StudyReport
from nucleosynth.study.report.write import write_record
from nucleosynth.study.stages.context import FitContext
from nucleosynth.study.stages.generators import pretrained_generator
from nucleosynth.study.stages.memorization import initial_weights_tiles
from nucleosynth.study.stages.preflight import refuse_early
from nucleosynth.study.stages.primary_arm import chosen_arm, lock_choice
from nucleosynth.study.stages.run_job import run_job

_log = logging.getLogger(__name__)


def run_study(
    study: StudyConfig | Path | str,
    *,
    out: Path | str,
    root: Path | str | None = None,
    device: str = "auto",
    engine: Engine | None = None,
    overrides: Mapping[str, str] | Sequence[str] = (),
) -> StudyReport:
    """Run a study, or continue an interrupted one, and write its report.

    Parameters
    ----------
    study
        A study or the path of its YAML file.
    out
        The study's run directory.
    root
        Folder that the paths in ``data`` and ``split`` are relative to; None means ``NUCLEOSYNTH_DATA``. Not
        a setting: data is identified by content.
    engine
        Runs the jobs; None runs them one after the other in this process.

    Returns
    -------
    The report: stands for the path of ``report.html``, and shows itself in a notebook.

    Raises
    ------
    InputError
        Bad data, split or settings; a generator that was trained on a patient outside the training part.
    WorkError
        A job failed; the results of the others are kept, and the same command tries it again.
    """
    if not isinstance(study, StudyConfig):
        study = load_study(as_path(study, "study"), overrides)
    elif not isinstance(overrides, Sized) or len(overrides):
        raise InputError(
            "overrides: go with the path of a study file; change the settings of this study itself"
        )
    out, root, device = as_path(out, "out"), data_root(root), as_text(device, "device", such_as="auto")
    if engine is not None and not callable(getattr(engine, "map", None)):
        raise InputError(f"engine is {shown(engine)}; expected an Engine, which has a method map")
    with open_run(out, kind="study", config={"study": study.stated, "hash": study.protocol_hash}) as run:
        if not run.done:
            _stages(study, run, root, device, engine or LocalEngine())
    return StudyReport(out / "report.html")


def data_root(root: Path | str | None) -> Path:
    """Return the given data root, else ``NUCLEOSYNTH_DATA``, else the working directory."""
    given = os.environ.get("NUCLEOSYNTH_DATA") or "." if root is None else root
    return as_path(given, "root")


def _stages(study: StudyConfig, run: Run, root: Path, device: str, engine: Engine) -> None:
    out = run.path
    _write_protocol(study, out)
    tiles = study_tiles(study, out, root)
    also = tuple(other.path for other in initial_weights_tiles(study, tiles, root))
    split = _split(study, tiles, out, root)
    folds, classes = len(split.folds), bool(tiles.classes)
    patients = {
        fit: fit_patients(tiles, split, fit, inner=study.inner_folds, seed=study.seed)
        for fit in all_fits(study, folds)
    }
    pretrained = pretrained_generator(study)
    refuse_early(study, tiles, split, patients, pretrained=None if pretrained is None else pretrained.card)
    contexts = {fit: FitContext(study, tiles, fit, fold, out, device, also) for fit, fold in patients.items()}
    run_jobs = partial(_run_jobs, contexts, engine)
    test = {patient for fold in split.folds for patient in fold.test}
    made_of = [tiles.content_hash, *([pretrained.generator_id] if pretrained else ())]
    lock = partial(lock_choice, study, out, folds if classes else 0, test=test, made_of=made_of)

    inner = [fit for fit in patients if fit.inner is not None]
    run_jobs(job for fit in inner for job in training_jobs(study, fit, classes=classes))
    locked = lock() if study.inner_folds else None  # without inner folds the arms themselves decide
    for jobs in (training_jobs, scoring_jobs):
        run_jobs(
            job
            for fit in outer_fits(study, folds)
            for job in jobs(study, fit, classes=classes, chosen=chosen_arm(locked, fit))
        )
        locked = lock()
    write_record(study, out)
    made = [path.name for path in sorted(out.iterdir()) if path.suffix in (".csv", ".md")]
    run.finish(["report.json", "report.html", "split.json", LOCK, *made])


def _write_protocol(study: StudyConfig, out: Path) -> None:
    """Write the protocol, once, before any work is done."""
    stored = out / "protocol.json"
    if stored.exists():
        return
    command = shlex.join(["nucleosynth", *sys.argv[1:]])
    write_json(stored, {"written": now(), "hash": study.protocol_hash, "command": command})


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


def _run_jobs(contexts: Mapping[Fit, FitContext], engine: Engine, jobs: Iterable[Job]) -> None:
    """Run jobs wave by wave; if one fails, the others of its wave still run, then the error is raised."""
    wanted = list(jobs)
    if not wanted:
        return
    out = contexts[wanted[0].fit].out
    for wave in waves(wanted, lambda path: (out / path).exists()):
        every = [contexts[job.fit].plain(job) for job in wave]
        failed: list[tuple[str, Exception]] = []
        stages = ", ".join(dict.fromkeys(job.stage for job in wave))
        with progress.task(stages, len(every)) as update:
            for number, (data, result) in enumerate(engine.map(run_job, every)):
                name = Job.from_plain(data["job"]).folder
                if isinstance(result, Exception):
                    failed.append((name, result))
                    _log.error("%s: %s", name, result)
                update(number + 1, name)
        if failed:
            _report_failures(failed, of=len(every))


def _report_failures(failed: Sequence[tuple[str, Exception]], *, of: int) -> None:
    name, error = failed[0]
    more = f" ({len(failed)} of {of} jobs failed)" if len(failed) > 1 else ""
    if isinstance(error, NucleosynthError):
        raise type(error)(f"{name}: {error}{more}") from error
    raise WorkError(f"{name}: {type(error).__name__}: {error}{more}; run again to try it again") from error
