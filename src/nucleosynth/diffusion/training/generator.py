"""Training of the generator: a run directory that ends with ``generator/``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nucleosynth.arguments import as_int, as_path
from nucleosynth.data.crops import Mosaic
from nucleosynth.data.inputs import Patients, as_tileset, training_patients
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import FROM_SCRATCH, GeneratorConfig
from nucleosynth.diffusion.generator import EARLY, Generator
from nucleosynth.diffusion.model.build import build_denoiser, with_weights
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.ddpm_schedule import linear_sigmas
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Statistics, measured
from nucleosynth.diffusion.training.batches import TrainingBatches, denoising_loss
from nucleosynth.diffusion.training.finetune import fine_tuned_card, fine_tuned_denoiser, load_initial_weights
from nucleosynth.diffusion.training.previews import save_preview
from nucleosynth.diffusion.training.request import generator_config
from nucleosynth.diffusion.training.validation_loss import APART, held_out_loss, held_out_patients
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.runs import open_run
from nucleosynth.seeds import torch_seed
from nucleosynth.training.devices import choose_device, compile_if_asked
from nucleosynth.training.loop import run_training
from nucleosynth.training.stopping import HeldOut

STATISTICS_TILES = 2000
_log = logging.getLogger(__name__)


class DenoisingLearner:
    """The denoiser and its loss, for the shared loop."""

    def __init__(self, model: Denoiser, batches: TrainingBatches, device: torch.device) -> None:
        self.model: torch.nn.Module = model
        self._denoiser = model
        self._batches = batches
        self._device = device

    def loss(self, step: int) -> Tensor:
        """Return the mean denoising loss of a step's batch."""
        return denoising_loss(self._denoiser, self._batches.draw(step), self._device, training=True)


def train_generator(
    tiles: TileSet,
    patients: Patients,
    config: GeneratorConfig | None = None,
    *,
    out: Path | str,
    fold: int = 0,
    seed: int = 0,
    device: str = "auto",
    minutes: float | None = None,
    steps: int | None = None,
    start: str | Path | None = None,
    **settings: Any,
) -> Path:
    """Train a generator on the tiles of some patients, or continue the run in ``out``.

    Parameters
    ----------
    tiles
        A TileSet, or the path of one.
    patients
        A `Split`, of which the training part is taken, or a list of patient ids. No tile of another patient
        is read. They are stored in the model. If there are at least ten, some are held out for the validation
        loss, which shows when more training does not help.
    config
        All settings at once; None: those given by keyword, and the defaults of `GeneratorConfig`.
    out
        Run directory; the model appears in ``out/generator`` when training has ended.
    fold
        Which fold of a split, counted from 0.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    minutes, steps
        How long: one of the two.
    start
        Initial weights: a trained generator, ``prior`` or ``none``.
    settings
        Other settings of `GeneratorConfig`, such as ``recipe``, ``batch`` or ``network``.

    Returns
    -------
    The directory of the model.

    Raises
    ------
    InputError
        A wrong setting; there is no tile of these patients, or none that the recipe can use; tiles are not
        square or have a wrong size; the initial weights do not fit, see `load_initial_weights`.
    WorkError
        The loss stays not a number.
    """
    tiles = as_tileset(tiles)
    config = generator_config(config, minutes=minutes, steps=steps, start=start, **settings)
    patients = training_patients(tiles, patients, fold=fold)
    out, seed, target = as_path(out, "out"), as_int(seed, "seed"), choose_device(device)
    height, width = tiles.size
    if height != width:
        raise InputError(f"{tiles.path}: tiles are {width}x{height} px; the generator needs square tiles")
    rows = _training_rows(tiles, patients, config)
    request = {
        "generator": config.model_dump(mode="json"),
        "seed": seed,
        "tileset": tiles.content_hash,
        "patients": sorted(set(patients)),
    }
    initial = None
    if config.start != FROM_SCRATCH:
        initial = load_initial_weights(config, tiles, set(patients))
        request["start"] = initial.generator_id
    model_path = out / "generator"
    with open_run(out, kind="generator", config=request) as run:
        if run.done:
            return model_path
        card = untrained_card(tiles, rows, config)
        held_out = held_out_patients(tiles, card.patients, share=config.hold_out, seed=seed)
        checked = np.isin(tiles.patients[rows], held_out)
        rows, held_rows = rows[~checked], rows[checked]
        torch.manual_seed(torch_seed(seed, "weights"))
        if initial is None:
            model = build_denoiser(card, **statistics(tiles, rows))
        else:
            card = fine_tuned_card(card, initial)
            model = fine_tuned_denoiser(card, initial, _pictures(tiles, rows))
        compile_if_asked(model.network)
        batches = training_batches(tiles, rows, config, use_masks=card.masks, seed=seed)
        learner = DenoisingLearner(model, batches, target)
        check = None
        if held_out:
            plain = config.model_copy(update={"drop": 0.0, "jitter": 0.0, "crops": False})
            unseen = training_batches(tiles, held_rows, plain, use_masks=card.masks, seed=seed)
            check = HeldOut(held_out_loss(partial(with_weights, card), unseen, target), apart=APART)

        def preview(step: int, ema: dict[str, Tensor]) -> None:
            shown = Generator(with_weights(card, ema), replace(card, steps=step)).to(device)
            if not (run.path / EARLY).exists():  # the weights of the first preview, for guidance
                shown.save_pretrained(run.path / EARLY)
            path = run.path / "previews" / f"step-{step:08d}.png"
            save_preview(shown, tiles, rows, batches.descriptors, path, seed)

        trained = run_training(
            learner,
            run,
            config.optimisation(len(rows)),
            seed=seed,
            device=target,
            preview=preview,
            held_out=check,
        )
        _log.info("%s: training stopped %s", out, trained.stopped)
        final = replace(card, steps=trained.steps)
        generator = Generator(with_weights(final, trained.ema), final)
        generator.save_pretrained(model_path)
        summary = {
            "steps": trained.steps,
            "tiles_seen": trained.steps * config.batch,
            "parameters": generator.parameters,
            "stopped": trained.stopped,
            "held_out_patients": held_out,
        }
        write_json(run.path / "summary.json", summary)
        kept = [EARLY] if (run.path / EARLY).exists() else []  # training may stop before the first preview
        run.finish(["generator", *kept, "summary.json"])
    return model_path


def _training_rows(tiles: TileSet, patients: Sequence[str], config: GeneratorConfig) -> npt.NDArray[np.int64]:
    """Return the rows to train on; refuse if there are none, or none of a class with its own network."""
    rows = tiles.rows_of(patients)
    if not len(rows):
        raise InputError(f"{tiles.path}: no tile of the {len(patients)} training patients")
    rows = config.recipe.usable_rows(tiles, rows)
    config.recipe.require_rows(tiles, rows)
    return rows


def training_batches(
    tiles: TileSet, rows: npt.NDArray[np.int64], config: GeneratorConfig, *, use_masks: bool, seed: int
) -> TrainingBatches:
    """Return the training batches of given rows with the given settings."""
    return TrainingBatches(
        tiles,
        rows,
        slide_descriptors(tiles, rows),
        use_masks,
        config.batch,
        config.drop,
        config.jitter,
        config.p_mean,
        config.p_std,
        seed,
        levels=linear_sigmas() if config.predicts == "epsilon" else None,
        one_class=config.recipe.one_class,
        mosaic=Mosaic(tiles, rows) if config.crops else None,
    )


def untrained_card(tiles: TileSet, rows: npt.NDArray[np.int64], config: GeneratorConfig) -> ModelCard:
    """Return the card of a generator of given tiles before its first step."""
    masks = config.recipe.planes > 0 and config.masks == "auto"
    return ModelCard(
        classes=tiles.classes,
        size=tiles.size[0],
        mpp=tiles.mpp,
        masks=masks and bool(tiles.has_mask[rows].any()),
        patients=sorted(set(tiles.patients[rows].tolist())),
        content_hash=tiles.content_hash,
        network=config.network,
        steps=0,
        recipe=config.recipe,
        objective=config.objective,
        mask_scale=config.mask_scale,
        seen=np.unique(tiles.labels[rows][tiles.labels[rows] >= 0]).tolist(),
    )


def statistics(tiles: TileSet, rows: npt.NDArray[np.int64]) -> Statistics:
    """Measure up to 2,000 tiles, evenly picked."""
    return measured(_pictures(tiles, rows))


def _pictures(tiles: TileSet, rows: npt.NDArray[np.int64]) -> Tensor:
    """Return up to 2,000 tiles, evenly picked, (k, 3, n, n) float 0-255."""
    picked = rows[np.linspace(0, len(rows) - 1, min(len(rows), STATISTICS_TILES)).astype(int)]
    return torch.from_numpy(np.asarray(tiles.images[np.unique(picked)])).permute(0, 3, 1, 2).float()
