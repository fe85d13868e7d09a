"""What importing costs, and which room may import which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

HEAVY = ("torch", "timm", "matplotlib", "skimage", "sklearn", "scipy", "statsmodels", "pandas", "pyarrow")


def loaded(statement: str) -> set[str]:
    """The heavy libraries in memory after a statement, in a process of its own."""
    code = f"import sys\n{statement}\nprint(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_nucleosynth_loads_nothing_heavy():
    assert loaded("import nucleosynth") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["study", "run", "--help"], ["data", "--help"]], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments):
    assert loaded(f"from nucleosynth.cli import main\nmain({arguments})") == set()


@pytest.mark.parametrize(
    "module",
    [
        "nucleosynth.training.config",
        "nucleosynth.diffusion.config",
        "nucleosynth.classify.config",
        "nucleosynth.study.design.config",
    ],
)
def test_configuration_models_are_free_of_torch(module):
    assert "torch" not in loaded(f"import {module}")


def test_the_public_names_are_there():
    import nucleosynth

    missing = [name for name in nucleosynth.__all__ if not hasattr(nucleosynth, name)]
    assert nucleosynth.__all__
    assert missing == []


def test_each_room_imports_only_from_the_rooms_before_it():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
