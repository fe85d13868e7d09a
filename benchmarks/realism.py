"""B3: mask agreement and realism of our best model, compared with real tiles.

    python -m benchmarks.realism RUN
    python -m benchmarks.realism RUN --size 128

reads TNBC below NUCLEOSYNTH_DATA and the generator of the training run RUN, and writes
benchmarks/results/realism.json and pictures of synthetic tiles to docs/results/benchmarks; with ``--size
128`` all of these end in ``_128``. RUN is one of `nucleosynth train` or of `benchmarks.training_quality` on
the tiles of studies/tnbc.yaml (128 px: on those that the first call writes); the generator was trained on the
training patients alone. ``--study`` reads the scores of segmenters trained on synthetic pairs from the report
of a study with segmentation arms, ``docs/results/tnbc/report.json``. ``--part test`` once, after all choices.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cyclopts
import torch

from benchmarks.contenders import OwnModel
from benchmarks.markdown import PICTURES
from benchmarks.quality import Part, TileEvaluator
from benchmarks.studies import HOME, RESULTS, open_tnbc
from nucleosynth.data.split import require_no_leakage
from nucleosynth.diffusion.generator import Generator
from nucleosynth.files import read_json, write_json
from nucleosynth.render.figure import save_figure
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment
from nucleosynth.study.report.figures import tile_pictures
from nucleosynth.training.metrics import trained_seconds

SHOWN = 64


def segmentation_arms(report: Path) -> dict[str, Any]:
    """Return the PQ, on real tiles of the test patients, of the segmenters of a study's whole training part.

    Returns
    -------
    ``{"study", "steps", "runs", "real": PQ, "synthetic": PQ}``: by real pairs, and by synthetic pairs alone.
    """
    record = read_json(report)
    segmentation = record["segmentation"]
    arms = {arm["arm"]: arm for arm in segmentation["arms"] if arm["fraction"] == 1}
    return {
        "study": record["name"],
        "steps": segmentation["steps"],
        "runs": arms["synthetic-only"]["runs"],
        "real": arms["real"]["metrics"]["pq"]["mean"],
        "synthetic": arms["synthetic-only"]["metrics"]["pq"]["mean"],
    }


def main(
    trained: Path,
    *,
    size: int = 64,
    steps: int | None = None,
    sigma_scale: float | None = None,
    samples: int = 256,
    study: Path | None = None,
    part: Part = "validation",
    seed: int = 0,
    run: Path | None = None,
    result: Path | None = None,
    pictures: Path = HOME / "docs" / PICTURES,
) -> None:
    """Draw, score and write the result.

    Parameters
    ----------
    trained
        Run directory of the generator.
    size
        Edge of a tile in px, which is 32 µm.
    steps, sigma_scale
        Of the sampler; None: its own.
    study
        A ``report.json``.
    run, result
        None: by the size.
    """
    suffix = "" if size == 64 else f"_{size}"
    run = run or HOME / "runs" / f"benchmark-quality{suffix}"
    tiles, split = open_tnbc(run, size=size)
    fold = split.folds[0]
    generator = Generator.from_pretrained(trained, device="cpu")
    require_no_leakage(str(trained), generator.card.trained_on_among(tiles.patients.tolist()), fold.train)
    load = os.getloadavg()[0]
    evaluator = TileEvaluator(tiles, fold, part, samples=samples, seed=seed)
    asked = {"steps": steps, "sigma_scale": sigma_scale}
    sampling = {key: value for key, value in asked.items() if value is not None}
    name = f"realism-{generator.generator_id}"
    drawn = run / "-".join([name, part, *(f"{key}-{value}" for key, value in sampling.items())])
    made, seconds = evaluator.draw(OwnModel(generator), sampling, weights=generator.generator_id, out=drawn)
    save_png(pictures / f"realism{suffix}_grid.png", grid(made[:SHOWN], columns=8, scale=128 // size))
    shown = tile_pictures({"synthetic": {"all": made}, "synthetic_masks": {"all": evaluator.asked.masks}})
    save_figure(shown["masks_and_tiles"], pictures / f"realism{suffix}_masks.png")
    found = {
        "data": {"name": "TNBC", "tile": tiles.size[0], "mpp": tiles.mpp, "content_hash": tiles.content_hash},
        "settings": {**evaluator.settings(), "sampling": sampling},
        "generator": {"id": generator.generator_id, **generator.card.as_json()},
        "train_seconds": trained_seconds(trained),
        "tiles_per_second": len(made) / seconds,
        "load_before": load,
        **evaluator.scores(made),
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }
    if study is not None:
        found["segmenter"] = segmentation_arms(study)
    write_json(result or RESULTS / f"realism{suffix}.json", found)
    agreement, kid, covered = (found[name] for name in ("agreement", "fidelity", "coverage"))
    print(f"corrected agreement {agreement['corrected']:.3f}, coverage {covered['of_real']:.2f}")
    print(f"KID {kid['kid']:.4f} (between {kid['real_reference']['between']:.4f})")


if __name__ == "__main__":
    cyclopts.run(main)
