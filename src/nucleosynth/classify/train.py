"""Training and evaluation of a classifier in a run directory that ends with ``result.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nucleosynth.backbones import create_backbone, input_scale, to_input
from nucleosynth.classify.config import Balance, ClassifierConfig
from nucleosynth.classify.mixture import Mixture, Source, batch_frequencies, class_frequencies, loss_weights
from nucleosynth.data.split import Fold, Split, check_split
from nucleosynth.data.stain import jitter_stain
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification import scores
from nucleosynth.evaluate.threshold import choose_threshold
from nucleosynth.runs import append_jsonl, now, open_run, partial, read_json, write_array, write_json
from nucleosynth.seeds import rng, torch_seed
from nucleosynth.training.devices import autocast, choose_device
from nucleosynth.training.loop import fit
from nucleosynth.training.metrics import trained_seconds

FACTOR_SPREAD, SHIFT_SPREAD = 0.2, 0.04
EVALUATION_BATCH = 128


class ClassifyingLearner:
    """A backbone and its cross-entropy, for the shared loop."""

    def __init__(
        self,
        model: nn.Module,
        mixture: Mixture,
        weights: npt.NDArray[np.float32],
        config: ClassifierConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self._mixture, self._config, self._seed, self._device = mixture, config, seed, device
        self._weights = torch.from_numpy(weights).to(device)
        self._scale = input_scale(model)

    def loss(self, step: int) -> Tensor:
        """Return the mean cross-entropy of a step's augmented batch."""
        images, labels = self._mixture.draw(step, self._config.batch)
        pixels = to_input(augment(images, self._seed, step, strength=self._config.jitter), scale=self._scale)
        logits = self.model(resize(pixels.to(self._device), self._config.input))
        target = torch.from_numpy(labels).to(self._device)
        losses = F.cross_entropy(
            logits, target, reduction="none", label_smoothing=self._config.label_smoothing
        )
        return (losses * self._weights[target]).mean()


def start_head(model: nn.Module) -> None:
    """Start the last layer at zero: timm's own start gives a head of few classes logits of +-5 and more."""
    head = model.get_classifier()  # type: ignore[operator]
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)


def augment(images: npt.NDArray[np.uint8], seed: int, step: int, *, strength: float) -> npt.NDArray[np.uint8]:
    """Flip and rotate (n, h, w, 3) uint8 tiles at random and jitter their stain."""
    draw = rng(seed, "augment", step)
    turns = draw.integers(8, size=len(images))
    factors = np.exp(strength * FACTOR_SPREAD * draw.standard_normal((len(images), 2)))
    shifts = strength * SHIFT_SPREAD * draw.standard_normal((len(images), 2))
    turned = turn_tiles(images, turns)
    return np.asarray(jitter_stain(turned, factors, shifts)) if strength else turned


def turn_tiles(images: npt.NDArray[np.uint8], turns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Apply one of the eight flips and rotations to each tile; tiles that are not square only flip."""
    result = np.empty_like(images)
    square = images.shape[1] == images.shape[2]
    for turn in range(8):
        chosen = turns == turn
        if chosen.any():
            quarter = turn % 4 if square else turn % 4 // 2 * 2
            turned = np.rot90(images[chosen], quarter, axes=(1, 2))
            result[chosen] = turned[:, :, ::-1] if turn >= 4 else turned
    return result


def resize(pixels: Tensor, side: int | None) -> Tensor:
    """Resize (n, 3, h, w) to a square of ``side`` px, antialiased; None leaves it."""
    if side is None or pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)


def train_classifier(
    sources: Sequence[Source],
    config: ClassifierConfig,
    *,
    natural: npt.NDArray[np.float64],
    balance: Balance | None = None,
    evaluate: Mapping[str, tuple[TileSet, npt.NDArray[np.int64]]],
    out: Path,
    settings: Mapping[str, object],
    seed: int,
    device: str = "auto",
    before_test: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train on a mixture, choose the threshold on validation, score the parts of ``evaluate``.

    Parameters
    ----------
    natural
        Class frequencies of the real training tiles: the reference of every arm.
    balance
        Only for the arms that exist to change it; None takes the configuration's.
    evaluate
        Part name to (tiles, rows); holds ``validation``, and ``test`` where it may be looked at.
    settings
        What else identifies the run: the arm and the hashes of its sources.
    before_test
        Called just before the test part is looked at.

    Returns
    -------
    ``{"metrics", "validation", "threshold", "steps", "seconds", ...}``; class probabilities are in
    ``<part>.npy`` of the run directory, (n, classes) float32.
    """
    record = {"classifier": config.model_dump(mode="json", exclude={"seeds"}), "seed": seed, **settings}
    with open_run(out, kind="classifier", config=record) as run:
        if run.done:
            return dict(read_json(out / "result.json"))
        rule = balance or config.balance
        target = choose_device(device)
        torch.manual_seed(torch_seed(seed, "weights"))
        model = create_backbone(config.model, weights=config.weights, num_classes=len(natural))
        start_head(model)
        model = model.to(memory_format=torch.channels_last)
        mixture = Mixture(sources, batch_frequencies(natural, rule), seed=seed)
        learner = ClassifyingLearner(
            model, mixture, loss_weights(natural, rule), config, seed=seed, device=target
        )
        fitted = fit(learner, run, config.optimisation, seed=seed, device=target)
        model.load_state_dict(fitted.ema)
        probabilities, labels = {}, {}
        for part, (tiles, rows) in evaluate.items():
            if part == "test":
                before_test()
            known = rows[tiles.labels[rows] >= 0]
            labels[part] = tiles.labels[known]
            probabilities[part] = predict(model, tiles, known, config)
            write_array(out / f"{part}.npy", probabilities[part])
        threshold = choose_threshold(probabilities["validation"], labels["validation"])
        measured = {part: scores(p, labels[part], threshold=threshold) for part, p in probabilities.items()}
        with partial(out / "model.safetensors") as building:
            save_file({name: value.contiguous() for name, value in fitted.ema.items()}, building)
        result = {
            **measured,
            "threshold": threshold,
            "steps": fitted.steps,
            "seconds": trained_seconds(out),
        }
        write_json(out / "result.json", result)
        run.finish(["result.json", "model.safetensors", *(f"{part}.npy" for part in evaluate)])
        return result


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


def classify_tiles(
    tiles: TileSet,
    split: Split,
    config: ClassifierConfig,
    *,
    out: Path,
    seed: int = 0,
    device: str = "auto",
    test: bool = False,
    fold: int = 0,
) -> dict[str, Any]:
    """Train on the training patients of a fold; score validation and, only when asked, test patients.

    The test patients may be asked for later, with the same ``out``: nothing is trained again, and every look
    is a line of ``test_looks.jsonl``.
    """
    check_split(tiles, split)
    if len(tiles.classes) < 2:
        raise InputError(f"{tiles.path}: has {len(tiles.classes)} classes; a classifier needs two or more")
    part: Fold = split.folds[fold]
    train, validation = tiles.rows_of(part.train), tiles.rows_of(part.validation)
    result = train_classifier(
        [Source(tiles, train, 1.0)],
        config,
        natural=class_frequencies(tiles.labels[train], len(tiles.classes)),
        evaluate={"validation": (tiles, validation)},
        out=out,
        settings={"tileset": tiles.content_hash, "fold": part.model_dump()},
        seed=seed,
        device=device,
    )
    if test:
        result["test"] = _score_test(
            tiles, part, config, out=out, threshold=result["threshold"], device=device
        )
    return result


def _score_test(
    tiles: TileSet, fold: Fold, config: ClassifierConfig, *, out: Path, threshold: float | None, device: str
) -> dict[str, Any]:
    model = load_classifier(out, config, classes=len(tiles.classes), device=device)
    rows = tiles.rows_of(fold.test)
    known = rows[tiles.labels[rows] >= 0]
    append_jsonl(out / "test_looks.jsonl", {"time": now(), "what": "classifier scored on the test patients"})
    probabilities = predict(model, tiles, known, config)
    write_array(out / "test.npy", probabilities)
    return scores(probabilities, tiles.labels[known], threshold=threshold)
