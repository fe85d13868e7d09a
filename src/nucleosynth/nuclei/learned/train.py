"""Training of the segmenters: a run directory that ends with ``weights/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nucleosynth.nuclei.backends.learned import LearnedSegmenter
from nucleosynth.nuclei.instances import instance_scores, number_nuclei, overlaps
from nucleosynth.nuclei.learned.annotated import Picture, content_hash, read_pictures, split_pictures
from nucleosynth.nuclei.learned.config import SegmenterTraining
from nucleosynth.nuclei.learned.crops import TrainingCrops
from nucleosynth.nuclei.learned.network import SegmenterNet, build_network, network_loss
from nucleosynth.nuclei.learned.weights import save_weights
from nucleosynth.render.grid import grid, save_png
from nucleosynth.render.outlines import draw_outlines
from nucleosynth.runs import open_run, write_json
from nucleosynth.seeds import torch_seed
from nucleosynth.training.devices import autocast, choose_device
from nucleosynth.training.loop import fit

PREVIEW = 256  # px of each held-out picture that a preview shows


class SegmentationLearner:
    """A network and its loss, for the shared loop."""

    def __init__(self, net: SegmenterNet, crops: TrainingCrops, device: torch.device) -> None:
        self.model: torch.nn.Module = net.to(memory_format=torch.channels_last)
        self._net = net
        self._crops = crops
        self._device = device

    def loss(self, step: int) -> Tensor:
        """Return the loss of a step's batch."""
        pixels, depth = (part.to(self._device) for part in self._crops.draw(step))
        with autocast(self._device, training=True):
            return network_loss(self._net, pixels.contiguous(memory_format=torch.channels_last), depth)


def train_segmenter(
    config: SegmenterTraining, *, root: Path, out: Path, seed: int = 0, device: str = "auto"
) -> Path:
    """Train a segmenter on annotated pictures, or go on with the run in ``out``.

    Parameters
    ----------
    root
        Data root that the folders in ``config.data`` are relative to; it is no setting.
    out
        Run directory. Network and card appear in ``out/weights``; previews outline the nuclei found in the
        held-out pictures.

    Returns
    -------
    The directory of the weights.

    Raises
    ------
    InputError
        Data that is missing or does not fit, or a run directory of other settings.
    WorkError
        A loss that stays not a number.
    """
    kept, held_out = _read(config, root)
    settings = {
        "segmenter": config.model_dump(mode="json"),
        "seed": seed,
        "data": [content_hash(pictures) for pictures in kept],
    }
    weights = out / "weights"
    with open_run(out, kind="segmenter", config=settings) as run:
        if run.done:
            return weights
        torch.manual_seed(torch_seed(seed, "weights"))
        net = build_network(config.recipe)
        shares = [source.share for source in config.data]
        crops = TrainingCrops(kept, shares, config.augmentation, config.crop, config.batch, seed)
        target = choose_device(device)

        def preview(step: int, ema: dict[str, Tensor]) -> None:
            if held_out:
                found = LearnedSegmenter(config.recipe, _with_weights(config, ema), device=target)
                write_json(run.path / "validation" / f"step-{step:08d}.json", _validate(found, held_out))
                _save_preview(found, held_out, run.path / "previews" / f"step-{step:08d}.png")

        learner = SegmentationLearner(net, crops, target)
        fitted = fit(learner, run, config.optimisation, seed=seed, device=target, preview=preview)
        final = _with_weights(config, fitted.ema)
        card: dict[str, Any] = {
            "parameters": sum(p.numel() for p in final.parameters()),
            "steps": fitted.steps,
            "crops_seen": fitted.steps * config.batch,
            "seed": seed,
            "training": _provenance(config, kept),
        }
        if held_out:
            card["validation"] = _validate(LearnedSegmenter(config.recipe, final, device=target), held_out)
        save_weights(final, card, weights)
        run.finish(["weights"])
    return weights


def _read(config: SegmenterTraining, root: Path) -> tuple[list[list[Picture]], list[Picture]]:
    """Pictures of each source to train on, and those of all that are held out."""
    parts = [split_pictures(read_pictures(source, root), source.validation) for source in config.data]
    return [kept for kept, _ in parts], [picture for _, held_out in parts for picture in held_out]


def _with_weights(config: SegmenterTraining, weights: dict[str, Tensor]) -> SegmenterNet:
    net = build_network(config.recipe)
    net.load_state_dict(weights)
    return net.fold()


def _provenance(config: SegmenterTraining, kept: list[list[Picture]]) -> list[dict[str, Any]]:
    return [
        {
            "name": source.name,
            "licence": source.licence,
            "pictures": len(pictures),
            "nuclei": int(sum(picture.labels.max() for picture in pictures)),
            "held_out": list(source.validation),
        }
        for source, pictures in zip(config.data, kept, strict=True)
    ]


def _validate(segmenter: LearnedSegmenter, pictures: list[Picture]) -> dict[str, Any]:
    """Panoptic quality and F1 on held-out pictures, pooled over nuclei."""
    found = (segmenter(picture.pixels[None], picture.mpp) for picture in pictures)
    compared = [
        overlaps(number_nuclei(labels, binary=False), number_nuclei(picture.labels[None], binary=False))
        for labels, picture in zip(found, pictures, strict=True)
    ]
    return {"pictures": [picture.name for picture in pictures], **instance_scores(compared)}


def _save_preview(segmenter: LearnedSegmenter, pictures: list[Picture], path: Path) -> None:
    """Write a picture of the middle of each held-out picture: nuclei found above, annotated below."""
    rows: list[list[np.ndarray[Any, Any]]] = [[], []]
    for picture in pictures[:6]:
        top, left = (max(0, (side - PREVIEW) // 2) for side in picture.labels.shape)
        here = np.s_[top : top + PREVIEW, left : left + PREVIEW]
        pixels = picture.pixels[here][None]
        rows[0].append(draw_outlines(pixels, segmenter(pixels, picture.mpp), scale=2)[0])
        rows[1].append(draw_outlines(pixels, picture.labels[here][None], scale=2)[0])
    save_png(path, grid(np.stack(rows[0] + rows[1]), columns=len(rows[0])))
