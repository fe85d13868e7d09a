"""What a study is: its sections, its arms and its hash; free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from nucleosynth.classify.config import Balance, ClassifierConfig
from nucleosynth.config import Config, load_config
from nucleosynth.data.readers import DataConfig
from nucleosynth.data.split import SplitConfig
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig
from nucleosynth.diffusion.recipes import RECIPES, SAMPLER_NAMES, sampling_defaults
from nucleosynth.errors import InputError
from nucleosynth.nuclei.segmenter import JUDGE, MAKER, NOBODY

Control = Literal["real", "oversampled", "natural", "synthetic-only"]
Metric = Literal["balanced_accuracy", "macro_f1", "kappa", "auroc", "accuracy"]


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier.

    ``dose`` is the expected synthetic share of each batch (float) or the number of synthetic tiles added
    (int); ``balance`` is set only by the arms that exist to change the class frequencies.
    """

    name: str
    kind: str
    dose: float | int | None = None
    balance: Balance | None = None


class ArmsConfig(Config):
    """The `arms` section."""

    doses: tuple[int | float, ...] = ()
    controls: tuple[Control, ...] = ("real",)

    @model_validator(mode="after")
    def _sound(self) -> ArmsConfig:
        if "real" not in self.controls:
            raise ValueError("`controls` must hold `real`: every arm is compared with it")
        for dose in self.doses:
            if (isinstance(dose, float) and not 0 < dose < 1) or dose <= 0:
                raise ValueError(
                    f"dose {dose}: a float is a share between 0 and 1, an integer a number of tiles"
                )
        return self

    @property
    def all(self) -> list[Arm]:
        """The arms in the order in which they are shown."""
        controls = {
            "real": Arm("real", "real"),
            "oversampled": Arm("oversampled", "oversampled", balance="sampler"),
            "natural": Arm("natural", "natural", balance="none"),
            "synthetic-only": Arm("synthetic-only", "synthetic-only", dose=1.0),
        }
        first = [controls[name] for name in controls if name in self.controls and name != "synthetic-only"]
        last = [controls["synthetic-only"]] if "synthetic-only" in self.controls else []
        return [*first, *(Arm(_dose_name(dose), "dose", dose=dose) for dose in self.doses), *last]


class SegmenterConfig(Config):
    """The `segmenter` section: who makes missing masks, and who finds the nuclei when masks are scored."""

    make: str = Field(
        MAKER,
        description="finds nuclei in frames without masks; scores are then consistency; none leaves them so",
    )
    judge: str = Field(JUDGE, description="finds the nuclei of synthetic tiles; none skips the scores")

    @model_validator(mode="after")
    def _two(self) -> SegmenterConfig:
        if self.make == self.judge != NOBODY:
            raise ValueError(f"`{self.judge}` cannot judge masks it makes; name another judge, or none")
        return self


class ReportConfig(Config):
    """The `report` section."""

    primary: Metric = "balanced_accuracy"
    metrics: tuple[Metric, ...] = ("auroc", "kappa", "macro_f1")


class FidelityConfig(Config):
    """The `fidelity` section."""

    extractor: str = Field("lite0", description="whose features are compared; none skips fidelity")
    tiles: int = Field(1000, ge=50, description="at most so many tiles per side")


class MemorizationConfig(Config):
    """The `memorization` section."""

    tiles: int = Field(200, ge=0, description="so many tiles are searched for copies; 0: none")


class StudyConfig(Config):
    """A study, as a user writes it."""

    name: str = Field(pattern=r"^[\w.-]+$")
    seed: int = 0
    data: DataConfig
    tiles: TilesConfig = TilesConfig()
    split: SplitConfig
    segmenter: SegmenterConfig = SegmenterConfig()
    generator: GeneratorConfig = GeneratorConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    arms: ArmsConfig = ArmsConfig()
    fidelity: FidelityConfig = FidelityConfig()
    memorization: MemorizationConfig = MemorizationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="before")
    @classmethod
    def _sampling_of_recipe(cls, data: object) -> object:
        """Write the recipe's own sampling into the protocol where none is set."""
        if not isinstance(data, dict):
            return data
        generator, synthesis = data.get("generator") or {}, data.get("synthesis") or {}
        if not (isinstance(generator, dict) and isinstance(synthesis, dict)):
            return data
        recipe, sampler = generator.get("recipe", "unified"), synthesis.get("sampler")
        if not isinstance(recipe, str) or recipe not in RECIPES or sampler not in (None, *SAMPLER_NAMES):
            return data  # refused by their fields, by name
        given = {key: value for key, value in synthesis.items() if value is not None}
        return {**data, "synthesis": {**sampling_defaults(recipe, sampler), **given}}

    @property
    def protocol_hash(self) -> str:
        """SHA-256 of everything that decides the result."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def needs_pool(self) -> bool:
        """Whether an arm trains on synthetic tiles."""
        return any(arm.dose is not None for arm in self.arms.all)


def load_study(path: Path, overrides: Mapping[str, str] | Sequence[str] = ()) -> StudyConfig:
    """Read a study file and apply overrides such as ``classifier.seeds=3``."""
    return load_config(StudyConfig, path, overrides)


def arm_jobs(study: StudyConfig, folds: int) -> Iterator[dict[str, object]]:
    """Yield one job, plain data, per fold, generator seed, arm and classifier seed.

    Arms without synthetic tiles do not depend on the generator and run once per classifier seed.
    """
    for fold in range(folds):
        for arm in study.arms.all:
            generators = range(study.generator.seeds if arm.dose is not None else 1)
            for generator in generators:
                for seed in range(study.classifier.seeds):
                    yield {"fold": fold, "arm": asdict(arm), "generator": generator, "seed": seed}


def job_folder(job: Mapping[str, object]) -> str:
    """Return the run directory of a job, relative to the study's."""
    arm = job["arm"]
    if not isinstance(arm, Mapping):
        raise InputError(f"job {job!r:.80}: `arm` must be a mapping")
    return f"fold-{job['fold']}/arms/{arm['name']}/generator-{job['generator']}-seed-{job['seed']}"


def _dose_name(dose: int | float) -> str:
    return f"real+{dose}" if isinstance(dose, int) else f"real+{100 * dose:g}%"
