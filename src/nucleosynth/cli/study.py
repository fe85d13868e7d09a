"""``nucleosynth study``: a whole study from tiles to report, as defined in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from nucleosynth.cli.settings import Device, Out, Root, Settings

app = App(name="study", help="Plan, run, watch, report and compare studies.", help_format="plaintext")


@app.command
def plan(study: Path, /, *, root: Root = None, settings: Settings = None) -> None:
    """Print the plan of a study: its arms, seeds and jobs. Nothing is written.

    For example::

        nucleosynth study plan studies/amibr.yaml --data.root DIR
    """
    from nucleosynth.study.design.config import load_study
    from nucleosynth.study.status import plan_study

    print(json.dumps(plan_study(load_study(study, settings or ()), root), indent=2))


@app.command
def run(
    study: Path,
    /,
    *,
    out: Out,
    root: Root = None,
    seed: Annotated[int | None, Parameter(help="Seed in place of the study file's.")] = None,
    device: Device = "auto",
    settings: Settings = None,
) -> None:
    r"""Run a study and write its report; run again to continue an interrupted one.

    For example::

        nucleosynth study run studies/amibr.yaml --data.root DIR \
            --classifier.seeds 3 --out runs/amibr
    """
    from nucleosynth.study.run import run_study

    overrides = [*(settings or ()), *([] if seed is None else [f"seed={seed}"])]
    print(run_study(study, out=out, root=root, device=device, overrides=overrides))


@app.command
def status(out: Path, /) -> None:
    """Print the jobs of a study that are done, running and waiting.

    For example::

        nucleosynth study status runs/amibr
    """
    from nucleosynth.study.status import study_status

    print(json.dumps(study_status(out), indent=2))


@app.command
def compare(first: Path, second: Path, /) -> None:
    """Print how the arms of a second study differ from those of a first, on the same test patients.

    For example::

        nucleosynth study compare runs/amibr runs/amibr-scratch
    """
    from nucleosynth.study.analysis.compare_studies import compare_studies

    print(json.dumps(compare_studies(first, second), indent=2))


@app.command
def report(
    out: Path,
    /,
    *,
    real_tiles: Annotated[
        bool, Parameter(help="Show real tiles; leave them out of a report to share.")
    ] = True,
) -> None:
    """Write a study's report again from its results.

    For example::

        nucleosynth study report runs/amibr --no-real-tiles
    """
    from nucleosynth.study.status import write_report

    print(write_report(out, real_tiles=real_tiles))
