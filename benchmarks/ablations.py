"""What matters in a short training: one thing changed at a time, all for the same seconds of training.

    python -m benchmarks.ablations --minutes 5
    python -m benchmarks.ablations --minutes 5 --data amibr

reads TNBC or AMi-Br below NUCLEOSYNTH_DATA, times a step of each variant in turn, trains each for as many
steps as fit into the minutes of one core (set OMP_NUM_THREADS=1), draws 256 tiles and adds a row to
benchmarks/results/ablations.json or ablations_amibr.json as each is done. `--only NAME`, again for more,
names variants. Changes of the network that the product lacks live in `variants`, the requests and scores of
tiles in `grounds`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.grounds import GROUNDS, Ground
from benchmarks.rows import put_row
from benchmarks.studies import HOME, RESULTS
from benchmarks.training_quality import slug
from benchmarks.variants import VARIANTS, Variant, prepare
from nucleosynth.data.crops import Crops
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.model.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.recipes import get_recipe
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_json
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment, open_run
from nucleosynth.seeds import rng
from nucleosynth.training.config import Optimisation
from nucleosynth.training.devices import autocast, choose_device
from nucleosynth.training.loop import run_training

RUNS = {"tnbc": HOME / "runs" / "benchmark-ablations", "amibr": HOME / "runs" / "benchmark-classes"}
CPU = choose_device("cpu")
TIMED_STEPS, ROUNDS = 4, 8
SHOWN = 32
DENOISED = 256
LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0)


def seconds_per_step(
    variants: Sequence[Variant], tiles: TileSet, fold: Fold, *, seed: int
) -> dict[str, float]:
    """Time training steps of the variants in turn, in seconds of the processor.

    The least of the rounds: on a shared machine the same step takes up to half as long again.
    """
    found: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for turn in range(ROUNDS):
        for variant in variants:
            torch.manual_seed(0)
            learner = prepare(variant, tiles, fold.train, seed=seed).learner
            optimizer = torch.optim.AdamW(learner.model.parameters(), lr=1e-4, fused=True)
            for step in range(TIMED_STEPS + 1):
                if step == 1:
                    started = time.process_time()
                learner.loss(turn * TIMED_STEPS + step).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            found[variant.name].append((time.process_time() - started) / TIMED_STEPS)
    return {name: min(seconds) for name, seconds in found.items()}


def timed(
    variants: Sequence[Variant], tiles: TileSet, fold: Fold, *, path: Path, seed: int
) -> dict[str, float]:
    """Return the seconds of a step of each, those of a former run from the file ``path``."""
    known: dict[str, float] = read_json(path) if path.exists() else {}
    default = VARIANTS[0]
    wanted = {default.name: default} | {variant.name: variant for variant in variants if variant.costs}
    missing = [variant for name, variant in wanted.items() if name not in known]
    if missing:
        known |= seconds_per_step(missing, tiles, fold, seed=seed)
        write_json(path, known)
    return {variant.name: known[variant.name if variant.costs else default.name] for variant in variants}


def denoising(
    denoiser: Denoiser, tiles: TileSet, rows: NDArray[np.int64], *, seed: int, stained: bool
) -> dict[str, float]:
    """Return the squared error on held-out tiles by noise level, relative to the best linear denoiser.

    Parameters
    ----------
    stained
        Whether the network is conditioned on the stain.
    """
    if len(rows) > DENOISED:
        rows = np.sort(rng(seed, "denoised").choice(rows, DENOISED, replace=False))
    crops = Crops.of(tiles, rows)
    pixels = torch.from_numpy(crops.images).permute(0, 3, 1, 2)
    planes = mask_planes(torch.from_numpy(crops.masks), torch.from_numpy(crops.has_mask))
    stain = stain_vector(torch.from_numpy(slide_descriptors(tiles, rows)), torch.full((len(rows),), stained))
    condition = Condition(torch.from_numpy(tiles.labels[rows]), planes, stain)
    spectrum = Spectrum.fit(denoiser.standardise(pixels))
    noise = torch.from_numpy(rng(seed, "denoising").standard_normal(pixels.shape, dtype=np.float32))
    found: dict[str, float] = {}
    with torch.inference_mode(), autocast(CPU):
        clean = denoiser.eval().standardise(pixels)
        for level in LEVELS:
            sigma = torch.full((len(rows),), level)
            left = (denoiser(clean + level * noise, sigma, condition) - clean).square().mean()
            linear = (spectrum.variance * level**2 / (spectrum.variance + level**2)).mean()
            found[f"{level:g}"] = float(left / linear)
    return found


def measure(variant: Variant, ground: Ground, *, steps: int, run: Path, seed: int) -> dict[str, Any]:
    """Train, or continue; draw, score and return the record of a variant."""
    tiles, fold = ground.tiles, ground.fold
    out = run / f"{slug(variant.name)}-{steps}-steps"
    own = seed + variant.seed
    prepared = prepare(variant, tiles, fold.train, seed=own)
    settings = {"variant": variant.name, "steps": steps, "seed": own, "tileset": tiles.content_hash}
    config = prepared.config
    optimisation = Optimisation(steps=steps, lr=config.lr, ema_fraction=config.ema_fraction)
    with open_run(out, kind="ablation", config=settings) as opened:
        fitted = run_training(prepared.learner, opened, optimisation, seed=own, device=CPU)
    generator = prepared.generator(fitted.ema)
    samples = run / "samples" / out.name
    made, scores = ground.score(generator, samples)
    save_png(samples.with_suffix(".png"), grid(made[:SHOWN], columns=8, scale=2))
    held = tiles.rows_of(fold.validation)
    return {
        "name": variant.name,
        "question": variant.question,
        "denoising": denoising(generator.denoiser, tiles, held, seed=seed, stained=variant.stain),
        "parameters": sum(p.numel() for p in prepared.learner.model.parameters()),
        "steps": steps,
        "load_before": os.getloadavg()[0],
        **scores,
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }


def place(row: Mapping[str, Any]) -> int:
    """Return the position of a row in the table."""
    names = [variant.name for variant in VARIANTS]
    return names.index(row["name"]) if row["name"] in names else len(names)


def main(
    *,
    minutes: float = 5,
    data: Literal["tnbc", "amibr"] = "tnbc",
    only: tuple[str, ...] = (),
    samples: int = 256,
    seed: int = 0,
    run: Path | None = None,
    result: Path | None = None,
) -> None:
    """Measure variants one after the other and write each as it is done.

    Parameters
    ----------
    minutes
        Training of each, by the time of its step.
    only
        Names of variants; none means all.
    run, result
        None: those of the data.
    """
    known = {variant.name: variant for variant in VARIANTS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(f"--only {unknown[0]}: no such variant; there are {', '.join(map(repr, known))}")
    run = run or RUNS[data]
    result = result or RESULTS / ("ablations.json" if data == "tnbc" else f"ablations_{data}.json")
    ground = GROUNDS[data](run, samples=samples, seed=seed)
    tiles = ground.tiles
    chosen = [known[name] for name in only or known]
    seconds = timed(chosen, tiles, ground.fold, path=run / "seconds.json", seed=seed)
    about = {"name": ground.name, "tile": tiles.size[0], "mpp": tiles.mpp, "content_hash": tiles.content_hash}
    settings = {**ground.settings(), "minutes": minutes, "sampling": get_recipe("unified").defaults()}
    header = {"data": about, "settings": settings}
    for variant in chosen:
        steps = round(60 * minutes / seconds[variant.name])
        row = measure(variant, ground, steps=steps, run=run, seed=seed)
        put_row(
            result, header, {**row, "seconds_per_step": seconds[variant.name]}, keys=["name"], order=place
        )
        show(row)


def show(row: Mapping[str, Any]) -> None:
    """Print what matters most."""
    name, answer = (
        ("corrected", row["agreement"]["corrected"])
        if "agreement" in row
        else ("balanced accuracy", row["labels"]["balanced_accuracy"]["value"])
    )
    print(
        f"{row['name']}: {row['steps']} steps, KID {row['fidelity']['kid']:.4f}, {name} {answer:.3f}, "
        f"coverage {row['coverage']['of_real']:.2f} of real",
        flush=True,
    )


if __name__ == "__main__":
    cyclopts.run(main)
