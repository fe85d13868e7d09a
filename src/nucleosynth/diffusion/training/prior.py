"""The tissue prior: a generator trained on tissue of many sources, used as initial weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from nucleosynth.config import Config
from nucleosynth.data.merge import merge_tilesets
from nucleosynth.data.readers import DataConfig
from nucleosynth.data.split import require_no_leakage
from nucleosynth.data.split_rules import SplitConfig, make_split
from nucleosynth.data.tileset import TileSet
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.diffusion.config import FROM_SCRATCH, PRIOR, GeneratorConfig
from nucleosynth.runs import open_run
from nucleosynth.segmentation.frames import import_with_nuclei

RESERVED = ("sources", "tiles", "training", "config.yaml", "environment.json", "lock", "DONE")
"""Other files in the directory of a prior."""


class SourceConfig(Config):
    """One data set of a prior."""

    data: DataConfig
    split: SplitConfig | None = Field(
        None, description="only its training part is used for training; none: all patients"
    )


class PriorConfig(Config):
    """The file of `nucleosynth train prior`."""

    name: str
    tiles: TilesConfig = TilesConfig()
    segmenter: str = Field("embedded", description="finds nuclei in frames without masks; none: no masks")
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    generator: GeneratorConfig = GeneratorConfig(start=FROM_SCRATCH)
    seed: int = 0

    @model_validator(mode="after")
    def _own_names(self) -> PriorConfig:
        unnamed = [source.data.reader for source in self.sources if not dataset_of(source)]
        if unnamed:
            raise ValueError(f"a source of reader {unnamed[0]} has no `data.dataset`; name it")
        datasets = [dataset_of(source) for source in self.sources]
        for name in (self.name, *datasets):
            if not re.fullmatch(r"\w[\w.-]*", name) or name in RESERVED:
                raise ValueError(f"`{name}` cannot name a prior or a source; choose another name")
        for key, usual in (("path", None), ("seeds", 1)):
            if getattr(self.generator, key) != usual:
                raise ValueError(f"`generator.{key}` has no effect here; leave it out")
        if self.generator.start == PRIOR:
            raise ValueError("`generator.start`: name the prior for initial weights, or set none")
        if len(set(datasets)) < len(datasets):
            raise ValueError("two sources share one `data.dataset`; give each its own")
        return self


def dataset_of(source: SourceConfig) -> str:
    """Return the part of a source's ids before the colon."""
    return str(getattr(source.data, "dataset", ""))


@dataclass(frozen=True)
class Tissue:
    """The training tiles of a prior, without labels, and the held-out patients."""

    tiles: TileSet
    patients: list[str]
    held_out: list[str]


def gather_tissue(config: PriorConfig, *, root: Path, out: Path) -> Tissue:
    """Import the sources below ``out/sources``, once, and merge their training parts into ``out/tiles``.

    Raises
    ------
    InputError
        The errors of readers and splits.
    """
    parts, patients = [], set()
    for source in config.sources:
        path = out / "sources" / dataset_of(source)
        part = (
            TileSet.open(path)
            if path.exists()
            else import_with_nuclei(source.data, config.tiles, config.segmenter, root=root, out=path)
        )
        parts.append(part)
        if source.split is None:
            patients |= set(part.patients.tolist())
        else:
            patients |= set(make_split(part, source.split, root).folds[0].train)
    merged = out / "tiles"
    if not merged.exists():
        merge_tilesets(parts, merged, patients=patients, unlabelled=True)
    everybody = {patient for part in parts for patient in part.patients.tolist()}
    return Tissue(TileSet.open(merged), sorted(patients), sorted(everybody - patients))


def train_prior(config: PriorConfig, *, root: Path, out: Path, device: str = "auto") -> Path:
    """Train a prior, or continue the run in ``out``.

    Parameters
    ----------
    root
        Folder that the paths of the sources are relative to.
    out
        Directory: ``sources``, ``tiles``, the run ``training`` and, at the end, the prior under its name, in
        half precision.

    Returns
    -------
    The directory of the prior.

    Raises
    ------
    InputError
        Bad data or settings; initial weights that were trained on a held-out patient.
    WorkError
        The loss stays not a number.
    """
    from nucleosynth.diffusion.generator import Generator
    from nucleosynth.diffusion.training.generator import train_generator

    final = out / config.name
    with open_run(out, kind="prior", config={"prior": config.model_dump(mode="json")}) as run:
        if run.done:
            return final
        tissue = gather_tissue(config, root=root, out=out)
        start = config.generator.start
        if start != FROM_SCRATCH:
            trained_on = set(Generator.from_pretrained(start, device="cpu").card.trained_on)
            require_no_leakage(f"generator.start {start}", trained_on & {*tissue.held_out}, ())
        trained = train_generator(
            tissue.tiles,
            tissue.patients,
            config.generator,
            out=out / "training",
            seed=config.seed,
            device=device,
        )
        if not final.exists():
            Generator.from_pretrained(trained, device="cpu").save_pretrained(final, half=True)
        run.finish([config.name])
    return final
