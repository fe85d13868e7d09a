"""The settings of a study: its sections, its arms and its hash; free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.config import Config, load_config, load_yaml, parse
from nucleosynth.data.readers import DataConfig
from nucleosynth.data.split_rules import SplitConfig
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.diffusion.config import GeneratorConfig, SynthesisConfig, stated_sampling
from nucleosynth.diffusion.recipes import DEFAULT_RECIPE, RECIPES
from nucleosynth.diffusion.recipes.samplers import SAMPLERS
from nucleosynth.errors import InputError
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, MASK_JUDGE, NONE
from nucleosynth.study.design.arms import CHOSEN, CLAIMABLE, ArmsConfig
from nucleosynth.study.design.segmentation import SegmentationConfig

Metric = Literal["balanced_accuracy", "macro_f1", "kappa", "auroc", "accuracy"]
AUROC: Metric = "auroc"
"""A claim of help needs it in addition to the primary metric, which a shifted class balance can change."""
ADDED_LATER: dict[tuple[str, str], Any] = {("choice", "tested"): "all", ("memorization", "also"): []}
"""Settings added later, by section, with the default at which a study is as before they existed."""


class SegmenterConfig(Config):
    """The `segmenter` section: the segmenter that makes missing masks, and the mask judge that scores."""

    make: str = Field(
        DEFAULT_SEGMENTER,
        description="finds nuclei in frames without masks; scores are then consistency; none: no masks",
    )
    judge: str = Field(MASK_JUDGE, description="mask judge: scores synthetic tiles; none skips the scores")

    @model_validator(mode="after")
    def _two(self) -> SegmenterConfig:
        if self.make == self.judge != NONE:
            raise ValueError(f"`{self.judge}` cannot score masks it makes; name another judge, or none")
        return self


class ChoiceConfig(Config):
    """The `choice` section: how the primary arm is chosen, before the test patients are read."""

    folds: int = Field(
        0,
        ge=0,
        description="0: choose on the validation patients; else on this many inner folds of the training "
        "patients, with everything fitted anew in each",
    )
    metric: Metric = Field("auroc", description="the arm with the highest mean over the folds is chosen")
    tested: Literal["all", "chosen"] = Field(
        "all",
        description="with `folds`: which candidates are fitted to all training patients and tested; "
        "`chosen`: only the chosen one",
    )

    @model_validator(mode="after")
    def _sound(self) -> ChoiceConfig:
        if self.folds == 1:
            raise ValueError("`folds`: one fold leaves no patient to train on; give 2 or more, or 0")
        if self.tested == "chosen" and not self.folds:
            raise ValueError("`tested: chosen` needs `folds`: without them every candidate is fitted")
        return self


class ReportConfig(Config):
    """The `report` section."""

    arm: str = Field(CHOSEN, description="the primary arm: the one that is chosen, or an arm by name")
    primary: Metric = "balanced_accuracy"
    metrics: tuple[Metric, ...] = ("auroc", "kappa", "macro_f1")

    @property
    def shown(self) -> list[Metric]:
        """The metrics in which arms are compared: those of the claim and the others."""
        return list(dict.fromkeys([*self.claimed, *self.metrics]))

    @property
    def claimed(self) -> list[Metric]:
        """The metrics whose intervals must be above zero for a claim of help: primary metric and AUROC."""
        return list(dict.fromkeys([self.primary, AUROC]))


class FidelityConfig(Config):
    """The `fidelity` section."""

    extractor: str = Field("lite0", description="network whose features are compared; none skips fidelity")
    tiles: int = Field(1000, ge=50, description="largest number of tiles per tile group")


class MemorizationConfig(Config):
    """The `memorization` section."""

    tiles: int = Field(200, ge=0, description="number of tiles that are searched for copies; 0: none")
    also: tuple[str, ...] = Field(
        (),
        description="TileSets of the initial weights' training, searched too; folders below the data root",
    )


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
    choice: ChoiceConfig = ChoiceConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    fidelity: FidelityConfig = FidelityConfig()
    memorization: MemorizationConfig = MemorizationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="before")
    @classmethod
    def _sampling_of_recipe(cls, data: object) -> object:
        """Write the recipe's own sampling into the settings where none is set."""
        if not isinstance(data, dict):
            return data
        generator, synthesis = data.get("generator") or {}, data.get("synthesis") or {}
        if not (isinstance(generator, dict) and isinstance(synthesis, dict)):
            return data
        recipe, sampler = str(generator.get("recipe", DEFAULT_RECIPE)), synthesis.get("sampler")
        if recipe not in RECIPES or not (sampler is None or sampler in SAMPLERS):
            return data  # refused later by the fields themselves
        return {**data, "synthesis": stated_sampling(synthesis, recipe)}

    @model_validator(mode="after")
    def _enough_tiles(self) -> StudyConfig:
        most = max((dose for dose in self.arms.doses if isinstance(dose, int)), default=0)
        if most > self.synthesis.tiles:
            raise ValueError(
                f"`arms.doses`: {most} tiles, but `synthesis.tiles` draws {self.synthesis.tiles}; raise it"
            )
        return self

    @model_validator(mode="after")
    def _known_arm(self) -> StudyConfig:
        kinds = {arm.name: arm.kind for arm in self.arms.all}
        if self.report.arm == CHOSEN:
            return self
        if self.report.arm not in kinds:
            known = ", ".join((CHOSEN, *kinds))
            raise ValueError(f"`report.arm`: no arm `{self.report.arm}`; there are {known}")
        if kinds[self.report.arm] not in CLAIMABLE:
            raise ValueError(
                f"`report.arm`: `{self.report.arm}` is a control; name an arm with synthetic tiles"
            )
        return self

    @property
    def undecided(self) -> bool:
        """Whether the primary arm is chosen by scores: none is named, and there are several candidates."""
        return self.report.arm == CHOSEN and len(self.arms.candidates) > 1

    @property
    def inner_folds(self) -> int:
        """Number of inner folds of the training patients that choose the primary arm."""
        return self.choice.folds if self.undecided else 0

    @property
    def stated(self) -> dict[str, Any]:
        """Return the settings as plain data, as stored in a run and covered by the hash.

        Settings that were added later are left out at their default, so that the hash of older studies stays.
        """
        stated = self.model_dump(mode="json")
        for (section, key), default in ADDED_LATER.items():
            if stated[section][key] == default:
                del stated[section][key]
        return stated

    @property
    def protocol_hash(self) -> str:
        """Return the SHA-256 of all settings that decide the result."""
        stated = self.stated
        if "licence" in stated["data"]:
            stated["data"]["licence"] = ""  # the licence changes no number
        text = json.dumps(stated, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load_study(path: Path, overrides: Mapping[str, str] | Sequence[str] = ()) -> StudyConfig:
    """Read a study file and apply overrides such as ``classifier.seeds=3``."""
    return load_config(StudyConfig, path, overrides)


def stored_study(out: Path) -> StudyConfig:
    """Return the settings of the study in a directory."""
    stored = out / "config.yaml"
    if not stored.exists():
        raise InputError(f"{out}: no study here (no config.yaml)")
    data: dict[str, Any] = load_yaml(stored)
    if data.get("kind") != "study":
        raise InputError(f"{out}: is not the directory of a study")
    return parse(StudyConfig, data.get("study") or {}, source=str(stored))
