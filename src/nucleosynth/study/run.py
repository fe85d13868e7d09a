"""A study from tiles to report: stages that read and write the study's directory, each resumable."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleosynth import progress
from nucleosynth.data.split import Fold, Split, check_split, make_split, require_unseen
from nucleosynth.data.tileset import TileSet
from nucleosynth.engine import Engine, LocalEngine
from nucleosynth.errors import InputError, NucleosynthError, WorkError
from nucleosynth.nuclei.frames import import_with_nuclei
from nucleosynth.runs import Run, now, open_run, read_jsonl, write_json
from nucleosynth.study.protocol import StudyConfig, arm_jobs, job_folder, load_study
from nucleosynth.study.record import write_record

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
    with open_run(
        out, kind="study", config={"study": study.model_dump(mode="json"), "hash": study.protocol_hash}
    ) as run:
        if not run.done:
            _stages(study, run, data_root(root), device, engine or LocalEngine())
    return out / "report.html"


def data_root(root: Path | str | None) -> Path:
    """Return the given data root, else ``NUCLEOSYNTH_DATA``, else the working directory."""
    return Path(root or os.environ.get("NUCLEOSYNTH_DATA") or ".")


def _stages(study: StudyConfig, run: Run, root: Path, device: str, engine: Engine) -> None:
    out = run.path
    if not (out / "protocol.json").exists():
        write_json(
            out / "protocol.json",
            {
                "written": now(),
                "hash": study.protocol_hash,
                "command": shlex.join(["nucleosynth", *sys.argv[1:]]),
            },
        )
    from nucleosynth.study.judging import mask_judge

    tiles = study_tiles(study, out, root)
    mask_judge(study, tiles)  # refused before hours of training, not after
    split = _split(study, tiles, out, root)
    for number, fold in enumerate(split.folds):
        for seed in range(study.generator.seeds):
            _generator(study, tiles, fold, out / f"fold-{number}", number=number, seed=seed, device=device)
    if tiles.classes:
        _arms(study, split, out, device, engine)
    write_record(study, out)
    run.finish(["report.json", "report.html", "split.json"])


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


def _generator(
    study: StudyConfig, tiles: TileSet, fold: Fold, folder: Path, *, number: int, seed: int, device: str
) -> None:
    """Train (or take) the generator of one seed, fill its pool, judge it."""
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.synthesis import synthesise
    from nucleosynth.diffusion.train import train_generator
    from nucleosynth.study.judging import judge_generator

    pool = folder / f"synthetic-{seed}"
    judged = folder / f"judged-{seed}"
    wanted = bool(tiles.classes) and study.needs_pool
    if (judged / "judged.json").exists() and (pool.exists() or not wanted):
        return
    if study.generator.path is None:
        path = folder / f"generator-{seed}"
        train_generator(
            tiles, fold.train, study.generator, out=path, seed=study.seed * 1000 + seed, device=device
        )
    else:
        path = Path(study.generator.path)
    generator = Generator.from_pretrained(path, device=device)
    require_unseen(str(path), generator.card.fitted_on(tiles.patients.tolist()), fold.train)
    if generator.card.recipe != study.generator.recipe:
        raise InputError(
            f"{path}: is of the recipe {generator.card.recipe}, the study says {study.generator.recipe}; "
            f"set generator.recipe to {generator.card.recipe}"
        )
    if wanted and not pool.exists():
        synthesise(generator, tiles, pool, config=study.synthesis, seed=study.seed * 1000 + seed)
    judge_generator(
        study, generator, tiles, fold, number=number, folder=judged, looks=folder.parent / "test_looks.jsonl"
    )


def _arms(study: StudyConfig, split: Split, out: Path, device: str, engine: Engine) -> None:
    from nucleosynth.study.arms import run_arm

    common = {"out": str(out), "study": study.model_dump(mode="json"), "device": device}
    jobs = [{**job, **common} for job in arm_jobs(study, len(split.folds))]
    failed: list[tuple[str, Exception]] = []
    with progress.task("arms", len(jobs)) as update:
        for number, (job, result) in enumerate(engine.map(run_arm, jobs)):
            if isinstance(result, Exception):
                failed.append((job_folder(job), result))
                _log.error("%s: %s", job_folder(job), result)
            update(number + 1, job_folder(job))
    if not failed:
        return
    name, error = failed[0]
    more = f" ({len(failed)} of {len(jobs)} arms failed)" if len(failed) > 1 else ""
    if isinstance(error, NucleosynthError):
        raise type(error)(f"{name}: {error}{more}") from error
    raise WorkError(f"{name}: {type(error).__name__}: {error}{more}; run again to try it again") from error


def plan_study(study: StudyConfig, root: Path | None = None) -> dict[str, Any]:
    """Return what a study would do: arms, seeds, jobs, budget and hash. Nothing is written or read."""
    folds = 1
    jobs = list(arm_jobs(study, folds))
    arms = [arm.name for arm in study.arms.all]
    budget = (
        {"minutes": study.generator.minutes} if study.generator.minutes else {"steps": study.generator.steps}
    )
    return {
        "name": study.name,
        "data": {"reader": study.data.reader, "root": None if root is None else str(root)},
        "generators": study.generator.seeds * folds,
        "generator_budget": budget,
        "synthetic_tiles": study.synthesis.tiles if study.needs_pool else 0,
        "arms": arms,
        "classifier_runs": len(jobs),
        "classifier_steps": study.classifier.steps * len(jobs),
        "primary": study.report.primary,
        "hash": study.protocol_hash,
    }


def study_status(out: Path) -> dict[str, Any]:
    """Return which stages of a study are done, running or waiting."""
    config = _stored_study(out)
    folds = len(Split.load(out / "split.json").folds) if (out / "split.json").exists() else 1
    jobs = [job_folder(job) for job in arm_jobs(config, folds)]
    done = [folder for folder in jobs if (out / folder / "DONE").exists()]
    started = [folder for folder in jobs if (out / folder).exists() and folder not in done]
    return {
        "name": config.name,
        "done": (out / "DONE").exists(),
        "tiles": (out / "tiles").exists(),
        "split": (out / "split.json").exists(),
        "generators": {path.name: _steps(path) for path in sorted(out.glob("fold-*/generator-*"))},
        "arms": {"done": len(done), "started": started, "waiting": len(jobs) - len(done) - len(started)},
    }


def write_report(out: Path, *, real_tiles: bool = True) -> Path:
    """Write the report of a finished study again; without real tiles, into ``shared-report``."""
    if not (out / "report.json").exists():
        raise InputError(f"{out}: no finished study here; run `nucleosynth study run` first")
    return write_record(_stored_study(out), out, real_tiles=real_tiles)


def _stored_study(out: Path) -> StudyConfig:
    import yaml

    stored = out / "config.yaml"
    if not stored.exists():
        raise InputError(f"{out}: no study here (no config.yaml)")
    data = yaml.safe_load(stored.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("kind") != "study":
        raise InputError(f"{out}: is not the directory of a study")
    return StudyConfig.model_validate(data["study"])


def _steps(path: Path) -> str:
    if (path / "DONE").exists():
        return "done"
    records = read_jsonl(path / "metrics.jsonl")
    return f"step {records[-1]['step']}" if records else "starting"
