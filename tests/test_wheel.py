"""The wheel is whole: installed elsewhere, away from the checkout, it runs a study from tiles to report."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

pytestmark = pytest.mark.slow

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]

SMALL = shlex.split("""
    --data.patients 12 --data.tiles 120 --generator.minutes null --generator.steps 2 --generator.batch 4
    --generator.network.width 16 --synthesis.tiles 60 --synthesis.steps 2 --classifier.steps 2
    --classifier.seeds 1 --classifier.batch 8 --classifier.views 1
    --arms.controls [real] --fidelity.extractor none
""")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the built and installed package, and nothing else."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("nucleosynth-*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True)
    return site


def run(site: Path, folder: Path, *arguments: str | Path) -> str:
    """Run this Python in ``folder`` with the installed copy before all others; return its stdout."""
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_installed_copy_runs_and_is_typed(site, tmp_path):
    where = run(site, tmp_path, "-c", "import nucleosynth; print(nucleosynth.__file__)")
    assert Path(where) == site / "nucleosynth" / "__init__.py"
    assert run(site, tmp_path, "-m", "nucleosynth", "--version").startswith("nucleosynth ")
    assert (site / "nucleosynth" / "py.typed").is_file()


def test_every_file_of_the_package_is_in_the_wheel(site):
    source = ROOT / "src" / "nucleosynth"
    files = {p.relative_to(source) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    installed = {
        p.relative_to(site / "nucleosynth") for p in (site / "nucleosynth").rglob("*") if p.is_file()
    }
    assert files - installed == set()


def test_the_installed_copy_runs_a_study(site, tmp_path):
    study = site / "nucleosynth" / "study" / "phantom.yaml"
    report = run(site, tmp_path, "-m", "nucleosynth", "study", "run", study, "--out", "small", *SMALL)
    page = (tmp_path / report).read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert (tmp_path / "small" / "report.json").is_file()
    status = json.loads(run(site, tmp_path, "-m", "nucleosynth", "study", "status", "small"))
    assert status["done"] is True
