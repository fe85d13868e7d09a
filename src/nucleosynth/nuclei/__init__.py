"""Nuclei: who finds them (segmenters) and how well masks agree."""

from __future__ import annotations

from nucleosynth.nuclei.agreement import corrected_agreement, mask_agreement
from nucleosynth.nuclei.segmenter import (
    Segmenter,
    get_segmenter,
    register_segmenter,
    segment,
    segmenter_names,
)

__all__ = [
    "Segmenter",
    "corrected_agreement",
    "get_segmenter",
    "mask_agreement",
    "register_segmenter",
    "segment",
    "segmenter_names",
]
