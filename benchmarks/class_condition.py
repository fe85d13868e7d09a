"""Do synthetic tiles show the requested class? Answered by a classifier of real tiles, on AMi-Br.

    python -m benchmarks.class_condition RUN [RUN ...]

reads AMi-Br below NUCLEOSYNTH_DATA and the generator of each RUN, a directory of `nucleosynth train` or
`nucleosynth distill` on the tiles of studies/amibr.yaml, trained on the training patients alone.
The study's classifier learns from the real tiles of the training patients, once, in runs/benchmark-classes;
it labels the real tiles of the validation patients, on which its threshold is chosen, and synthetic ones of
each generator at each class guidance. Their rows, by name of RUN and guidance, are written to
benchmarks/results/class_condition.json, and pictures of them stand in runs/benchmark-classes/samples. A
generator that reads nuclei masks needs ``--masks embedded``, the segmenter that found its training masks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.class_scores import METRICS, Likeness, by_class, differences, labelled_rows
from benchmarks.class_section import PICTURE
from benchmarks.label_classifiers import PARTS, LabelClassifiers, train_label_classifiers
from benchmarks.markdown import PICTURES, number
from benchmarks.rows import put_row
from benchmarks.studies import HOME, open_study
from nucleosynth.data.split import Fold, require_no_leakage
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import SynthesisConfig
from nucleosynth.diffusion.generator import Generator
from nucleosynth.diffusion.sampling.plan import resolve_sampling
from nucleosynth.diffusion.synthesis import synthesise
from nucleosynth.errors import InputError
from nucleosynth.render.grid import grid, save_png
from nucleosynth.runs import environment
from nucleosynth.seeds import rng
from nucleosynth.study.design.config import StudyConfig, load_study
from nucleosynth.training.metrics import trained_seconds

STUDY = HOME / "studies" / "amibr.yaml"
RESULT = HOME / "benchmarks" / "results" / "class_condition.json"
KEYS = ("name", "guidance")
SHOWN, COLUMNS = 24, 8


def open_generator(trained: Path, tiles: TileSet, donors: TileSet, fold: Fold, *, device: str) -> Generator:
    """Load a generator and check classes, size, scale and training patients.

    Raises
    ------
    InputError
        It was trained on another patient, makes other tiles, or needs other masks than donors have.
    """
    generator = Generator.from_pretrained(trained, device=device)
    card = generator.card
    require_no_leakage(str(trained), card.trained_on_among(tiles.patients.tolist()), fold.train)
    here = {"classes": tiles.classes, "size": tiles.size[0], "mpp": tiles.mpp}
    for name, value in here.items():
        if getattr(card, name) != value:
            raise InputError(
                f"{trained}: its {name} is {getattr(card, name)!r}, the study's {value!r}; "
                "train it on the tiles of the study"
            )
    if card.masks and card.content_hash != donors.content_hash:
        raise InputError(
            f"{trained}: reads masks, and the tiles of this study have none or others; name the segmenter of "
            "its training masks, such as --masks embedded"
        )
    return generator


def draw(
    generator: Generator, donors: TileSet, *, guidance: float, samples: int, seed: int, run: Path
) -> TileSet:
    """Draw equally many tiles of all classes, as a study does, or open those drawn before."""
    asked = {} if guidance == 1 else {"class": guidance}
    config = SynthesisConfig.model_validate({"tiles": samples, "labels": "balanced", "guidance": asked})
    identity, card = generator.generator_id, generator.card
    out = run / f"{identity}-guidance-{guidance:g}-{samples}-seed-{seed}"
    if not out.exists():
        return synthesise(generator, donors, out, config=config, seed=seed)
    made = TileSet.open(out)
    settled = {**config.model_dump(mode="json"), **resolve_sampling(card, **config.sampling).stated}
    wanted = {"generator": identity, "donors": donors.content_hash, "seed": seed, **settled}
    stored = made.info["provenance"]
    other = [key for key, value in wanted.items() if stored.get(key) != value]
    if other:
        raise InputError(f"{out}: drawn with another `{other[0]}`; move it away, or choose another --run")
    return made


def header(
    study: StudyConfig, classifiers: LabelClassifiers, likeness: Likeness, *, samples: int, seed: int
) -> dict[str, Any]:
    """Return the settings that rows must share to be compared."""
    tiles, real = classifiers.tiles, {part: classifiers.real(part).scores() for part in PARTS}
    return {
        "data": {
            "name": study.name,
            "tile": tiles.size[0],
            "mpp": tiles.mpp,
            "content_hash": tiles.content_hash,
            "classes": tiles.classes,
        },
        "settings": {
            "samples": samples,
            "seed": seed,
            "classifier": study.classifier.model_dump(mode="json", exclude={"seeds"}),
            "classifier_seeds": len(classifiers.runs),
            "classifier_weights": classifiers.weights,
            "thresholds": classifiers.thresholds,
            "extractor": f"{likeness.extractor.name} {likeness.extractor.weights_hash}",
        },
        "real": real,
    }


def describe(generator: Generator, trained: Path) -> dict[str, Any]:
    """Return the generator's name, training and size for the result."""
    card = generator.card
    return {
        "id": generator.generator_id,
        "recipe": card.recipe.name,
        "student": card.student and card.student.model_dump(mode="json"),
        "network": card.network.model_dump(mode="json"),
        "parameters": generator.parameters,
        "masks": card.masks,
        "start": None if card.start is None else card.start.generator,
        "patients": len(card.patients),
        "tileset": card.content_hash,
        "steps": card.steps,
        "train_seconds": trained_seconds(trained),
    }


def measure(made: TileSet, classifiers: LabelClassifiers, likeness: Likeness) -> dict[str, Any]:
    """Label tiles and compare them with real ones."""
    labelled, asked = classifiers.predict(made), made.info["provenance"]
    return {
        "sampling": {key: asked[key] for key in ("sampler", "steps", "sigma_scale")},
        "donors": asked["donors"],
        "labels": labelled.scores(),
        "difference": differences(labelled, classifiers.real("validation")),
        "likeness": likeness.scores(made),
        "environment": {**environment(), "threads": torch.get_num_threads()},
    }


def show_tiles(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: list[str]) -> None:
    """Draw some tiles of each class, one block above the other in the order of the classes."""
    shown = by_class(images, labels, classes, most=SHOWN)
    blocks = [grid(some, columns=COLUMNS, scale=2) for some in shown.values()]
    save_png(path, grid(np.stack(blocks), columns=1, pad=16))


def run_names(trained: tuple[Path, ...]) -> dict[str, Path]:
    """Name each run by its directory."""
    if not trained:
        raise InputError("class_condition: name at least one run of `nucleosynth train` or `distill`")
    names = {path.resolve().name: path for path in trained}
    if len(names) < len(trained):
        raise InputError("class_condition: two runs are of one name, which is that of a row; rename one")
    return names


def main(
    *trained: Path,
    guidance: Annotated[tuple[float, ...], cyclopts.Parameter(consume_multiple=True)] = (1.0, 1.5),
    samples: int = 512,
    seeds: int = 3,
    masks: str | None = None,
    seed: int = 0,
    device: str = "auto",
    study: Path = STUDY,
    run: Path = HOME / "runs" / "benchmark-classes",
    result: Path = RESULT,
    pictures: Path = HOME / "docs" / PICTURES,
) -> None:
    """Train the classifiers, draw, score and write each row as it is done.

    Parameters
    ----------
    trained
        Run directories of generators or students; their names are those of the rows.
    guidance
        Weights of the class; 1 is off.
    samples
        Synthetic tiles at each guidance, all classes alike.
    seeds
        Classifiers.
    masks
        Segmenter that finds the nuclei of the donors; None: that of the study.
    """
    names = run_names(trained)
    protocol = load_study(study)
    tiles, split = open_study(protocol, run)
    fold, donors = split.folds[0], tiles
    if masks is not None:
        donors, _ = open_study(load_study(study, {"segmenter.make": masks}), run / f"masks-{masks}")
    options = {"device": device}
    generators = {name: open_generator(path, tiles, donors, fold, **options) for name, path in names.items()}
    classifiers = train_label_classifiers(
        protocol, tiles, fold, seeds=seeds, run=run / "classifiers", **options
    )
    likeness = Likeness(tiles, fold, seed=seed)
    shared = header(protocol, classifiers, likeness, samples=samples, seed=seed)
    train = rng(seed, "shown").permutation(labelled_rows(tiles, fold.train))
    show_tiles(run / "samples" / "real.png", tiles.images[train], tiles.labels[train], tiles.classes)
    for name, generator in generators.items():
        for weight in guidance:
            load = os.getloadavg()[0]
            made = draw(generator, donors, guidance=weight, samples=samples, seed=seed, run=run / "samples")
            picture = run / "samples" / f"{name}-guidance-{weight:g}.png"
            show_tiles(picture, made.images, made.labels, made.classes)
            if weight == 1:
                show_tiles(pictures / PICTURE, made.images, made.labels, made.classes)
            row = {
                "name": name,
                "guidance": weight,
                "generator": describe(generator, names[name]),
                "load_before": load,
                **measure(made, classifiers, likeness),
            }
            put_row(result, shared, row, keys=KEYS, order=lambda r: [r[key] for key in KEYS])
            show(row)


def show(row: Mapping[str, Any]) -> None:
    """Print what matters most."""
    metrics = ", ".join(
        f"{metric.replace('_', ' ')} {number(row['labels'][metric]['value'])} "
        f"({number(row['difference'][metric]['value'])} above real)"
        for metric in METRICS
    )
    every = row["likeness"]["all"]
    kid, covered = every["fidelity"]["kid"], every["coverage"]["of_real"]
    print(
        f"{row['name']}, guidance {row['guidance']:g}: {metrics}; KID {number(kid, 4)}, "
        f"coverage {number(covered, 2)} of real",
        flush=True,
    )


if __name__ == "__main__":
    cyclopts.run(main)
