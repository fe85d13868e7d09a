"""The demo: the packaged phantom study, from tissue to report, without any data."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.study.protocol import load_study
from nucleosynth.study.run import run_study

PHANTOM_STUDY = Path(__file__).parent / "phantom.yaml"


def run_demo(out: Path, *, seed: int = 0, device: str = "auto") -> Path:
    """Run the phantom study into ``out`` and return the path of its report."""
    study = load_study(PHANTOM_STUDY, {"seed": str(seed)})
    return run_study(study, out=out, device=device)
