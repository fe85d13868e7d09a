"""B3: how faithful and how real our best model is, beside what real tiles reach.

    python -m benchmarks.realism RUN
    python -m benchmarks.realism RUN --size 128

reads TNBC below NUCLEOSYNTH_DATA and the generator of the training run RUN, and writes
benchmarks/results/realism.json and pictures of synthetic tiles to docs/results/benchmarks; with ``--size
128`` all of these end in ``_128``. RUN is one of `nucleosynth train` or of `benchmarks.training_quality` on
the tiles of studies/tnbc.yaml (128 px: on those that the first call writes), in which the generator saw the
training patients alone. With ``--minutes`` two segmenters of one recipe are trained as
long, one on the real pairs of the training patients, one on as many synthetic pairs for the same masks, and
compared on the real tiles of the held-out patients. ``--part test`` once, after all choices.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contenders import OwnModel
from benchmarks.layouts import open_tnbc
from benchmarks.markdown import PICTURES
from benchmarks.quality import Part, QualityJudge
from benchmarks.studies import HOME, RESULTS
from nucleosynth.data.split import require_unseen
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.nuclei import get_segmenter, mask_agreement
from nucleosynth.nuclei.learned.config import AnnotatedConfig, SegmenterTraining
from nucleosynth.nuclei.learned.train import train_segmenter
from nucleosynth.nuclei.masks import find_nuclei
from nucleosynth.render.figure import save_figure
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment, partial, write_json
from nucleosynth.study.report.figures import tile_pictures
from nucleosynth.training.metrics import trained_seconds

SHOWN = 48


def write_pairs(images: NDArray[np.uint8], masks: NDArray[np.integer], out: Path) -> None:
    """Write tiles and label images as `train_segmenter` reads them."""
    from PIL import Image

    if out.exists():
        return
    with partial(out) as building:
        for folder in ("images", "masks"):
            (building / folder).mkdir(parents=True)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            name = f"{index:05d}.png"
            Image.fromarray(image).save(building / "images" / name)
            Image.fromarray(mask.astype(np.uint16)).save(building / "masks" / name)


def segmenters(
    generator: Generator, tiles: TileSet, judge: QualityJudge, *, minutes: float, run: Path, seed: int
) -> dict[str, Any]:
    """Scores, on real held-out tiles, of segmenters trained on real and on synthetic pairs."""
    rows = tiles.rows_of(generator.card.patients)
    rows = rows[tiles.has_mask[rows]]
    assert tiles.masks is not None
    assert tiles.mpp is not None
    made = run / "pairs"
    config = SynthesisConfig(tiles=len(rows))
    synthetic = TileSet.open(made) if made.exists() else synthesise(generator, tiles, made, config=config)
    assert synthetic.masks is not None
    pairs = {
        "real": (np.asarray(tiles.images[rows]), np.asarray(tiles.masks[rows])),
        "synthetic": (np.asarray(synthetic.images), np.asarray(synthetic.masks)),
    }
    images, masks, patients = judge.held
    found: dict[str, Any] = {}
    for name, (pictures, labels) in pairs.items():
        write_pairs(pictures, labels, run / f"{name}-pairs")
        source = AnnotatedConfig(name=name, images="images", masks="masks", mpp=tiles.mpp)
        training = SegmenterTraining(recipe="embedded", data=(source,), crop=tiles.size[0], minutes=minutes)
        weights = train_segmenter(
            training, root=run / f"{name}-pairs", out=run / f"{name}-segmenter", seed=seed, device="cpu"
        )
        segmenter = get_segmenter(f"weights:{weights}")
        found[name] = mask_agreement(find_nuclei(segmenter, images, tiles.mpp), masks, groups=patients)
    return found


def main(
    trained: Path,
    *,
    size: int = 64,
    steps: int | None = None,
    sigma_scale: float | None = None,
    samples: int = 256,
    minutes: float | None = None,
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
        Pixels of a tile's side, which is 32 µm.
    steps, sigma_scale
        Of the sampler; None: its own.
    minutes
        Training of each segmenter; None trains none.
    run, result
        None: by the size.
    """
    suffix = "" if size == 64 else f"_{size}"
    run = run or HOME / "runs" / f"benchmark-quality{suffix}"
    tiles, split = open_tnbc(run, size=size)
    fold = split.folds[0]
    generator = Generator.from_pretrained(trained, device="cpu")
    require_unseen(str(trained), generator.card.fitted_on(tiles.patients.tolist()), fold.train)
    load = os.getloadavg()[0]
    judge = QualityJudge(tiles, fold, part, samples=samples, seed=seed)
    asked = {"steps": steps, "sigma_scale": sigma_scale}
    sampling = {key: value for key, value in asked.items() if value is not None}
    name = f"realism-{generator.generator_id}"
    drawn = run / "-".join([name, part, *(f"{key}-{value}" for key, value in sampling.items())])
    made, seconds = judge.draw(OwnModel(generator), sampling, weights=generator.generator_id, out=drawn)
    save_png(pictures / f"realism{suffix}_grid.png", grid(made[:SHOWN], columns=8, scale=128 // size))
    shown = tile_pictures({"synthetic": {"all": made}, "synthetic_masks": {"all": judge.asked.masks}})
    save_figure(shown["masks_and_tiles"], pictures / f"realism{suffix}_masks.png")
    found = {
        "data": {"name": "TNBC", "tile": tiles.size[0], "mpp": tiles.mpp, "content_hash": tiles.content_hash},
        "settings": {**judge.settings(), "sampling": sampling},
        "generator": {"id": generator.generator_id, **generator.card.as_json()},
        "train_seconds": trained_seconds(trained),
        "tiles_per_second": len(made) / seconds,
        "load_before": load,
        **judge.scores(made),
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }
    if minutes is not None:
        found["settings"]["segmenter_minutes"] = minutes
        found["segmenter"] = segmenters(generator, tiles, judge, minutes=minutes, run=run / name, seed=seed)
    write_json(result or RESULTS / f"realism{suffix}.json", found)
    agreement, kid, covered = (found[name] for name in ("agreement", "fidelity", "coverage"))
    print(f"corrected agreement {agreement['corrected']:.3f}, coverage {covered['of_real']:.2f}")
    print(f"KID {kid['kid']:.4f} (between {kid['floor']['between']:.4f})")


if __name__ == "__main__":
    cyclopts.run(main)
