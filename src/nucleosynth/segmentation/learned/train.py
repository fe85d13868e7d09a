"""Training of the segmenters: a run directory that ends with ``weights/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nucleosynth.files import write_json
from nucleosynth.nuclei.instances import instance_scores, number_nuclei, overlaps
from nucleosynth.render.grid import grid, save_png
from nucleosynth.render.outlines import draw_outlines
from nucleosynth.runs import open_run
from nucleosynth.seeds import torch_seed
from nucleosynth.segmentation.backends.learned import LearnedSegmenter
from nucleosynth.segmentation.learned.annotated import Picture, content_hash, read_pictures, split_pictures
from nucleosynth.segmentation.learned.config import NetworkTraining, SegmenterTraining
from nucleosynth.segmentation.learned.crops import TrainingCrops
from nucleosynth.segmentation.learned.network import SegmenterNet, build_network
from nucleosynth.segmentation.learned.weights import save_weights
from nucleosynth.training.devices import autocast, choose_device
from nucleosynth.training.loop import Preview, run_training

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
            return self._net.loss(pixels.contiguous(memory_format=torch.channels_last), depth)


def train_segmenter(
    config: SegmenterTraining, *, root: Path, out: Path, seed: int = 0, device: str = "auto"
) -> Path:
    """Train a segmenter on annotated pictures, or continue the run in ``out``.

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
        Data is missing or does not fit, or the run directory has other settings.
    WorkError
        A loss that stays not a number.
    """
    kept, held_out = _read(config, root)
    cards = [
        training_card(part.name, part.licence, pictures, held_out=part.validation)
        for part, pictures in zip(config.data, kept, strict=True)
    ]
    shares = [part.share for part in config.data]
    return train_network(
        kept, shares, config, cards=cards, held_out=held_out, out=out, seed=seed, device=device
    )


def train_network(
    parts: Sequence[Sequence[Picture]],
    shares: Sequence[float],
    config: NetworkTraining,
    *,
    cards: Sequence[Mapping[str, object]],
    held_out: Sequence[Picture] = (),
    out: Path,
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Train a network on pictures in memory, or continue the run in ``out``.

    Parameters
    ----------
    parts, shares
        Pictures of each part of the training data, and how often it is drawn, relative to the others.
    cards
        Entries of the model card for each part, see `training_card`.
    held_out
        Pictures for validation and previews; none: the run has no previews.
    settings
        Further settings that identify the run, in addition to ``config``, seed and the hashes of the
        pictures.

    Returns
    -------
    The directory of the weights.

    Raises
    ------
    InputError
        The run directory has other settings.
    WorkError
        A loss that stays not a number.
    """
    hashes = [content_hash(pictures) for pictures in parts]
    record = {"segmenter": config.model_dump(mode="json"), "seed": seed, "data": hashes, **(settings or {})}
    weights = out / "weights"
    with open_run(out, kind="segmenter", config=record) as run:
        if run.done:
            return weights
        torch.manual_seed(torch_seed(seed, "weights"))
        net = build_network(config.recipe)
        crops = TrainingCrops(parts, shares, config.augmentation, config.crop, config.batch, seed)
        target = choose_device(device)
        preview = _previews(config.recipe, held_out, run.path, target) if held_out else None
        learner = SegmentationLearner(net, crops, target)
        trained = run_training(learner, run, config.optimisation, seed=seed, device=target, preview=preview)
        final = _with_weights(config.recipe, trained.ema)
        card: dict[str, Any] = {
            "parameters": sum(p.numel() for p in final.parameters()),
            "steps": trained.steps,
            "crops_seen": trained.steps * config.batch,
            "seed": seed,
            "training": [dict(card) for card in cards],
        }
        if held_out:
            card["validation"] = _validate(LearnedSegmenter(config.recipe, final, device=target), held_out)
        save_weights(final, card, weights)
        run.finish(["weights"])
    return weights


def training_card(
    name: str, licence: str, pictures: Sequence[Picture], *, held_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the model card's entry for a part of the training data; ``held_out`` are its other pictures."""
    return {
        "name": name,
        "licence": licence,
        "pictures": len(pictures),
        "nuclei": int(sum(picture.labels.max() for picture in pictures)),
        "held_out": list(held_out),
    }


def _read(config: SegmenterTraining, root: Path) -> tuple[list[list[Picture]], list[Picture]]:
    """Return the training pictures of each part, and the held-out pictures of all parts."""
    parts = [split_pictures(read_pictures(part, root), part.validation) for part in config.data]
    return [kept for kept, _ in parts], [picture for _, held_out in parts for picture in held_out]


def _with_weights(recipe: str, weights: dict[str, Tensor]) -> SegmenterNet:
    net = build_network(recipe)
    net.load_state_dict(weights)
    return net.fold()


def _previews(recipe: str, held_out: Sequence[Picture], folder: Path, device: torch.device) -> Preview:
    """Return a function that scores and draws the nuclei found in held-out pictures during training."""

    def preview(step: int, ema: dict[str, Tensor]) -> None:
        found = LearnedSegmenter(recipe, _with_weights(recipe, ema), device=device)
        write_json(folder / "validation" / f"step-{step:08d}.json", _validate(found, held_out))
        _save_preview(found, held_out, folder / "previews" / f"step-{step:08d}.png")

    return preview


def _validate(segmenter: LearnedSegmenter, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return panoptic quality and F1 on held-out pictures, pooled over nuclei."""
    found = (segmenter(picture.pixels[None], picture.mpp) for picture in pictures)
    compared = [
        overlaps(number_nuclei(labels, binary=False), number_nuclei(picture.labels[None], binary=False))
        for labels, picture in zip(found, pictures, strict=True)
    ]
    return {"pictures": [picture.name for picture in pictures], **instance_scores(compared)}


def _save_preview(segmenter: LearnedSegmenter, pictures: Sequence[Picture], path: Path) -> None:
    """Write a picture of the middle of each held-out picture: nuclei found above, annotated below."""
    rows: list[list[np.ndarray[Any, Any]]] = [[], []]
    for picture in pictures[:6]:
        top, left = (max(0, (side - PREVIEW) // 2) for side in picture.labels.shape)
        here = np.s_[top : top + PREVIEW, left : left + PREVIEW]
        pixels = picture.pixels[here][None]
        rows[0].append(draw_outlines(pixels, segmenter(pixels, picture.mpp), scale=2)[0])
        rows[1].append(draw_outlines(pixels, picture.labels[here][None], scale=2)[0])
    save_png(path, grid(np.stack(rows[0] + rows[1]), columns=len(rows[0])))
