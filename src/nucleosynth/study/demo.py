"""The demo, without data: the packaged phantom study from tissue to report, and a picture of the prior."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.diffusion.config import PRIORS
from nucleosynth.study.design.config import load_study
from nucleosynth.study.run import run_study

PHANTOM_STUDY = Path(__file__).parent / "phantom.yaml"
TISSUE = "tissue.png"


def run_demo(out: Path, *, seed: int = 0, device: str = "auto") -> tuple[Path, Path]:
    """Run the phantom study into ``out``; return the paths of its report and of a picture of the prior.

    The study trains on drawn tissue from scratch; the picture shows tissue that the shipped prior makes for
    drawn nuclei, in several stains.
    """
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.preview import preview
    from nucleosynth.render.grid import save_png

    study = load_study(PHANTOM_STUDY, {"seed": str(seed)})
    report, picture = run_study(study, out=out, device=device).path, out / TISSUE
    if not picture.exists():
        save_png(picture, preview(Generator.from_pretrained(PRIORS[0], device=device), seed=seed))
    return report, picture
