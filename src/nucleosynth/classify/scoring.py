"""Evaluation of a trained classifier: class probabilities, and the scores of a part, computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from nucleosynth.backbones import create_backbone, input_scale, to_input
from nucleosynth.classify.augmentation import turn_tiles
from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.classification.metrics import scores
from nucleosynth.files import read_json, write_array, write_json
from nucleosynth.training.devices import autocast, choose_device

EVALUATION_BATCH = 128


def resize(pixels: Tensor, side: int | None) -> Tensor:
    """Resize (n, 3, h, w) to a square of ``side`` px, antialiased; None keeps the size."""
    if side is None or pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)


@torch.inference_mode()
def predict(
    model: nn.Module, tiles: TileSet, rows: npt.NDArray[np.int64], config: ClassifierConfig
) -> npt.NDArray[np.float32]:
    """Return class probabilities (len(rows), classes) float32, averaged over ``config.views`` views."""
    model.eval()
    device = next(model.parameters()).device
    scale = input_scale(model)
    total = []
    for start in range(0, len(rows), EVALUATION_BATCH):
        images = np.asarray(tiles.images[rows[start : start + EVALUATION_BATCH]])
        mean = torch.zeros(())
        for view in range(config.views):
            turned = turn_tiles(images, np.full(len(images), view))
            with autocast(device):
                logits = model(resize(to_input(turned, scale=scale).to(device), config.input))
            mean = mean + logits.float().softmax(dim=1).cpu() / config.views
        total.append(mean.numpy())
    return np.concatenate(total).astype(np.float32)


def load_classifier(out: Path, config: ClassifierConfig, *, classes: int, device: str = "auto") -> nn.Module:
    """Return the network of a finished run of `train_classifier`, for `predict`."""
    model = create_backbone(config.model, weights="none", num_classes=classes)
    model.load_state_dict(load_file(out / "model.safetensors"))
    placed: nn.Module = model.to(choose_device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def part_hash(tiles: TileSet, rows: npt.NDArray[np.int64]) -> str:
    """Return what identifies a part: SHA-256 of the tiles' content and the rows."""
    return hashlib.sha256(f"{tiles.content_hash}:{','.join(map(str, rows))}".encode()).hexdigest()


def score_part(
    out: Path,
    part: str,
    tiles: TileSet,
    rows: npt.NDArray[np.int64],
    config: ClassifierConfig,
    *,
    before: Callable[[], None],
    device: str = "auto",
) -> dict[str, Any]:
    """Score a finished run on another part, with the threshold of the validation part; once.

    Probabilities are stored in ``<part>.npy``, scores in ``<part>.json`` of the run directory; its
    ``scored_on`` is the `part_hash` of the labelled tiles.

    Parameters
    ----------
    before
        Called just before the part is read.
    """
    stored = out / f"{part}.json"
    if stored.exists():
        return dict(read_json(stored))
    model = load_classifier(out, config, classes=len(tiles.classes), device=device)
    known = rows[tiles.labels[rows] >= 0]
    before()
    probabilities = predict(model, tiles, known, config)
    write_array(out / f"{part}.npy", probabilities)
    threshold = read_json(out / "result.json")["threshold"]
    result = scores(probabilities, tiles.labels[known], threshold=threshold)
    result["scored_on"] = part_hash(tiles, known)
    write_json(stored, result)
    return result
