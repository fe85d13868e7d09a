"""What matters in a short training: one thing changed at a time, all for the same seconds of training.

    python -m benchmarks.ablations --minutes 5

reads TNBC below NUCLEOSYNTH_DATA, times a step of each variant in turn, trains each for as many steps
as fit into the minutes of one core (set OMP_NUM_THREADS=1), draws 256 tiles for the masks of the validation
patient and adds a row to benchmarks/results/ablations.json as each is done. `--only NAME`, again for more,
names variants. Changes of the network that the product lacks live in `variants`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contenders import OwnModel
from benchmarks.layouts import open_tnbc
from benchmarks.quality import QualityJudge
from benchmarks.rows import put_row
from benchmarks.studies import HOME
from benchmarks.training_quality import slug
from benchmarks.variants import VARIANTS, Variant, prepare
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.batches import slide_descriptors
from nucleosynth.diffusion.conditioning import Condition, mask_planes, stain_vector
from nucleosynth.diffusion.denoiser import Denoiser
from nucleosynth.diffusion.spectrum import Spectrum
from nucleosynth.errors import InputError
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment, open_run, read_json, write_json
from nucleosynth.seeds import rng
from nucleosynth.training.config import Optimisation
from nucleosynth.training.devices import autocast, choose_device
from nucleosynth.training.loop import fit

RUN = HOME / "runs" / "benchmark-ablations"
RESULT = HOME / "benchmarks" / "results" / "ablations.json"
CPU = choose_device("cpu")
TIMED_STEPS, ROUNDS = 4, 8
SHOWN = 32
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
    denoiser: Denoiser, tiles: TileSet, rows: NDArray[np.int64], *, seed: int, told: bool
) -> dict[str, float]:
    """Squared error on held-out tiles at some noise levels, as a share of the best linear denoiser's.

    Parameters
    ----------
    told
        Whether the stain is given.
    """
    assert tiles.masks is not None
    pixels = torch.from_numpy(np.asarray(tiles.images[rows])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.asarray(tiles.masks[rows]).astype(np.int32))
    given = torch.ones(len(rows), dtype=torch.bool)
    stain = stain_vector(torch.from_numpy(slide_descriptors(tiles, rows)), given & told)
    condition = Condition(torch.full((len(rows),), -1), mask_planes(masks, given), stain)
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


def measure(
    variant: Variant,
    tiles: TileSet,
    fold: Fold,
    judge: QualityJudge,
    *,
    steps: int,
    run: Path,
    seed: int,
) -> dict[str, Any]:
    """Train, or go on; draw, score and return the record of a variant."""
    out = run / f"{slug(variant.name)}-{steps}-steps"
    prepared = prepare(variant, tiles, fold.train, seed=seed)
    settings = {
        "variant": variant.name,
        "steps": steps,
        "seed": seed + variant.seed,
        "tileset": tiles.content_hash,
    }
    config = prepared.config
    optimisation = Optimisation(steps=steps, lr=config.lr, ema_fraction=config.ema_fraction)
    with open_run(out, kind="ablation", config=settings) as opened:
        fitted = fit(prepared.learner, opened, optimisation, seed=seed + variant.seed, device=CPU)
    generator = prepared.generator(fitted.ema)
    held = tiles.rows_of(fold.validation)
    made, seconds = judge.draw(
        OwnModel(generator),
        {},
        weights=f"{variant.name} {steps}",
        out=run / "samples" / out.name,
    )
    save_png(run / "samples" / f"{out.name}.png", grid(made[:SHOWN], columns=8, scale=2))
    return {
        "name": variant.name,
        "question": variant.question,
        "denoising": denoising(generator.denoiser, tiles, held, seed=seed, told=variant.stain),
        "parameters": sum(p.numel() for p in prepared.learner.model.parameters()),
        "steps": steps,
        "sample_seconds": seconds,
        "load_before": os.getloadavg()[0],
        **judge.scores(made),
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }


def place(row: Mapping[str, Any]) -> int:
    """Return where a row stands in the table."""
    names = [variant.name for variant in VARIANTS]
    return names.index(row["name"]) if row["name"] in names else len(names)


def main(
    *,
    minutes: float = 5,
    only: tuple[str, ...] = (),
    samples: int = 256,
    seed: int = 0,
    run: Path = RUN,
    result: Path = RESULT,
) -> None:
    """Measure variants one after the other and write each as it is done.

    Parameters
    ----------
    minutes
        Training of each, by the time of its step.
    only
        Names of variants; none means all.
    """
    known = {variant.name: variant for variant in VARIANTS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(f"--only {unknown[0]}: no such variant; there are {', '.join(map(repr, known))}")
    tiles, split = open_tnbc(run)
    fold = split.folds[0]
    chosen = [known[name] for name in only or known]
    seconds = timed(chosen, tiles, fold, path=run / "seconds.json", seed=seed)
    judge = QualityJudge(tiles, fold, "validation", samples=samples, seed=seed)
    data = {"name": "TNBC", "tile": tiles.size[0], "mpp": tiles.mpp, "content_hash": tiles.content_hash}
    header = {"data": data, "settings": {**judge.settings(), "minutes": minutes}}
    for variant in chosen:
        name = variant.name
        steps = round(60 * minutes / seconds[name])
        row = measure(variant, tiles, fold, judge, steps=steps, run=run, seed=seed)
        put_row(result, header, {**row, "seconds_per_step": seconds[name]}, keys=["name"], order=place)
        fidelity, agreement = row["fidelity"], row["agreement"]
        print(
            f"{name}: {steps} steps, KID {fidelity['kid']:.4f}, corrected {agreement['corrected']:.3f}, "
            f"coverage {row['coverage']['of_real']:.2f} of real",
            flush=True,
        )


if __name__ == "__main__":
    cyclopts.run(main)
