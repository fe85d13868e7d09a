"""``nucleosynth demo``."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from nucleosynth.cli.settings import Device, Out, Seed

app = App(name="demo", help_format="plaintext")


@app.default
def demo(*, out: Out = Path("runs/demo"), seed: Seed = 0, device: Device = "auto") -> None:
    """Run a small study on drawn tissue, from tiles to report, and make a picture with the tissue prior.

    For example::

        nucleosynth demo --out runs/demo
    """
    from nucleosynth.study.demo import run_demo

    for path in run_demo(out, seed=seed, device=device):
        print(path)
