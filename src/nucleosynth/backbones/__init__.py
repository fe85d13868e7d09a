"""timm models by name, the offline ImageNet weights of lite0, and the identity of weights."""

from __future__ import annotations

from nucleosynth.backbones.inputs import input_scale, to_input
from nucleosynth.backbones.models import HUB, LITE0, create_backbone, lite0
from nucleosynth.backbones.weights import weights_hash

__all__ = ["HUB", "LITE0", "create_backbone", "input_scale", "lite0", "to_input", "weights_hash"]
