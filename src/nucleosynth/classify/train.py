"""Training and evaluation of a classifier in a run directory that ends with ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from nucleosynth.backbones import create_backbone, input_scale, to_input
from nucleosynth.classify.augmentation import augment
from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.mixture import (
    Batches,
    Mixture,
    Phases,
    TrainingSet,
    batch_frequencies,
    loss_weights,
)
from nucleosynth.classify.scoring import predict, resize, score_part
from nucleosynth.data.split import Fold, Split, check_split
from nucleosynth.data.test_access import TEST_ACCESS, log_protocol, require_access_log
from nucleosynth.data.tileset import TileSet
from nucleosynth.errors import InputError
from nucleosynth.evaluate.classification.metrics import scores
from nucleosynth.evaluate.classification.threshold import choose_threshold
from nucleosynth.files import append_jsonl, file_hash, now, partial, read_json, write_array, write_json
from nucleosynth.runs import open_run
from nucleosynth.seeds import torch_seed
from nucleosynth.training.devices import choose_device
from nucleosynth.training.loop import run_training
from nucleosynth.training.metrics import trained_seconds


class ClassifyingLearner:
    """A backbone and its cross-entropy, for the shared loop."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        weights: npt.NDArray[np.float32],
        config: ClassifierConfig,
        *,
        strong: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self._batches, self._config, self._seed, self._device = batches, config, seed, device
        self._strong = strong
        self._weights = torch.from_numpy(weights).to(device)
        self._scale = input_scale(model)

    def loss(self, step: int) -> Tensor:
        """Return the mean cross-entropy of a step's augmented batch."""
        images, labels = self._batches.draw(step, self._config.batch)
        images = augment(images, self._seed, step, strength=self._config.jitter, strong=self._strong)
        pixels = to_input(images, scale=self._scale)
        logits = self.model(resize(pixels.to(self._device), self._config.input))
        target = torch.from_numpy(labels).to(self._device)
        losses = F.cross_entropy(
            logits, target, reduction="none", label_smoothing=self._config.label_smoothing
        )
        return (losses * self._weights[target]).mean()


def start_head(model: nn.Module) -> None:
    """Set the last layer to zero: timm's initial weights give a head of few classes logits beyond +-5."""
    head = model.get_classifier()  # type: ignore[operator]
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)


def train_classifier(
    training_set: TrainingSet,
    config: ClassifierConfig,
    *,
    evaluate: Mapping[str, tuple[TileSet, npt.NDArray[np.int64]]],
    out: Path,
    settings: Mapping[str, object],
    seed: int,
    device: str = "auto",
) -> dict[str, Any]:
    """Train on a mixture, choose the threshold on validation, score the parts of ``evaluate``.

    The test patients are never among these: `score_part` reads them, when all choices are made.

    Parameters
    ----------
    evaluate
        Part name to (tiles, rows); includes ``validation``.
    settings
        Further settings that identify the run: the arm and the hashes of its tiles.

    Returns
    -------
    ``{"metrics", "validation", "threshold", "steps", "seconds", ...}``; class probabilities are in
    ``<part>.npy`` of the run directory, (n, classes) float32.
    """
    record = {"classifier": config.model_dump(mode="json", exclude={"seeds"}), "seed": seed, **settings}
    with open_run(out, kind="classifier", config=record) as run:
        if run.done:
            return dict(read_json(out / "result.json"))
        rule, natural = training_set.balance or config.balance, training_set.natural
        target = choose_device(device)
        torch.manual_seed(torch_seed(seed, "weights"))
        model = create_backbone(config.model, weights=config.weights, num_classes=len(natural))
        start_head(model)
        model = model.to(memory_format=torch.channels_last)
        frequencies = batch_frequencies(natural, rule)
        batches: Batches = Mixture(training_set.parts, frequencies, seed=seed)
        if training_set.first:
            before = Mixture(training_set.first, frequencies, seed=seed)
            batches = Phases(before, batches, round(training_set.first_share * config.steps))
        weights, strong = loss_weights(natural, rule), training_set.strong
        learner = ClassifyingLearner(model, batches, weights, config, strong=strong, seed=seed, device=target)
        trained = run_training(learner, run, config.optimisation, seed=seed, device=target)
        model.load_state_dict(trained.ema)
        probabilities, labels = {}, {}
        for part, (tiles, rows) in evaluate.items():
            known = rows[tiles.labels[rows] >= 0]
            labels[part] = tiles.labels[known]
            probabilities[part] = predict(model, tiles, known, config)
            write_array(out / f"{part}.npy", probabilities[part])
        threshold = choose_threshold(probabilities["validation"], labels["validation"])
        measured = {part: scores(p, labels[part], threshold=threshold) for part, p in probabilities.items()}
        with partial(out / "model.safetensors") as building:
            save_file({name: value.contiguous() for name, value in trained.ema.items()}, building)
        result = {
            **measured,
            "threshold": threshold,
            "steps": trained.steps,
            "seconds": trained_seconds(out),
        }
        write_json(out / "result.json", result)
        run.finish(["result.json", "model.safetensors", *(f"{part}.npy" for part in evaluate)])
        return result


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
    """Train on the training patients of a fold; score validation patients and, on request, test patients.

    The test patients may be scored later, with the same ``out``: nothing is trained again. The access is
    recorded in ``test_access.jsonl``, with the protocols that read them before, and in the access log.
    """
    check_split(tiles, split)
    if test:
        require_access_log()
    if len(tiles.classes) < 2:
        raise InputError(f"{tiles.path}: has {len(tiles.classes)} classes; a classifier needs two or more")
    part: Fold = split.folds[fold]
    train, validation = tiles.rows_of(part.train), tiles.rows_of(part.validation)
    result = train_classifier(
        TrainingSet.of(tiles, train),
        config,
        evaluate={"validation": (tiles, validation)},
        out=out,
        settings={"tileset": tiles.content_hash, "fold": part.model_dump()},
        seed=seed,
        device=device,
    )
    if test:
        result["test"] = score_part(
            out,
            "test",
            tiles,
            tiles.rows_of(part.test),
            config,
            before=lambda: _record_access(out, part.test),
            device=device,
        )
    return result


def _record_access(out: Path, patients: Sequence[str]) -> None:
    """Record an access to the test patients, in the run and in the access log, just before it."""
    earlier = log_protocol(patients, name=out.name, protocol_hash=file_hash(out / "config.yaml"))
    what = "classifier scored on the test patients"
    append_jsonl(out / TEST_ACCESS, {"time": now(), "what": what, "earlier": earlier})
