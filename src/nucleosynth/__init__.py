"""nucleosynth makes annotated H&E tiles with diffusion models and measures, honestly, whether they help."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.synthesis import synthesise
    from nucleosynth.errors import InputError, NucleosynthError, WorkError
    from nucleosynth.evaluate.fidelity.score import fidelity
    from nucleosynth.evaluate.memorization.audit import memorization
    from nucleosynth.evaluate.nuclei.morphology import compare_morphology
    from nucleosynth.nuclei.agreement import mask_agreement
    from nucleosynth.nuclei.morphology import nuclei_table, tile_table
    from nucleosynth.segmentation.segmenter import segment
    from nucleosynth.study.run import run_study

_HOMES = {
    "Generator": "nucleosynth.diffusion.generator",
    "InputError": "nucleosynth.errors",
    "NucleosynthError": "nucleosynth.errors",
    "TileSet": "nucleosynth.data.tileset",
    "WorkError": "nucleosynth.errors",
    "compare_morphology": "nucleosynth.evaluate.nuclei.morphology",
    "fidelity": "nucleosynth.evaluate.fidelity.score",
    "mask_agreement": "nucleosynth.nuclei.agreement",
    "memorization": "nucleosynth.evaluate.memorization.audit",
    "nuclei_table": "nucleosynth.nuclei.morphology",
    "run_study": "nucleosynth.study.run",
    "segment": "nucleosynth.segmentation.segmenter",
    "synthesise": "nucleosynth.diffusion.synthesis",
    "tile_table": "nucleosynth.nuclei.morphology",
}

__all__ = [
    "Generator",
    "InputError",
    "NucleosynthError",
    "TileSet",
    "WorkError",
    "compare_morphology",
    "fidelity",
    "mask_agreement",
    "memorization",
    "nuclei_table",
    "run_study",
    "segment",
    "synthesise",
    "tile_table",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import nucleosynth`` stays fast."""
    if name == "__version__":
        return metadata.version("nucleosynth")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nucleosynth' has no attribute {name!r}")
