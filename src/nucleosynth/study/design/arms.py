"""The arms of a study: ways to train the classifier, each one change away from `real`; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from nucleosynth.classify.config import Balance
from nucleosynth.config import Config
from nucleosynth.registry import Registry

Control = Literal[
    "real",
    "augmented",
    "oversampled",
    "natural",
    "shuffled",
    "held-back",
    "rare-only",
    "pretrained",
    "synthetic-only",
]
_FILTERS = "nucleosynth.study.stages.filters"
FILTERS: Registry[Any] = Registry(
    "filter",
    {
        "confidence": f"{_FILTERS}:Confidence",
        "typicality": f"{_FILTERS}:Typicality",
        "masks": f"{_FILTERS}:Masks",
        "copies": f"{_FILTERS}:Copies",
    },
)
"""Filters of synthetic tiles, by name; each is a `stages.filters.Filter`."""


def _known_filter(name: str) -> str:
    if name not in FILTERS:
        raise ValueError(FILTERS.unknown(name))
    return name


FilterName = Annotated[str, AfterValidator(_known_filter)]
CHOSEN = "chosen"
"""Name of the arm that is chosen among doses and filters before the test patients are read."""
RIVALS = ("real", "augmented", "oversampled", "natural", "shuffled")
"""Controls; the primary arm must be better than all of them for a claim of help."""
SYNTHETIC = ("dose", "filtered", "shuffled", "rare-only", "pretrained", "synthetic-only")
"""Kinds of arms that train on synthetic tiles."""
CANDIDATES = ("dose", "filtered")
"""Kinds of arms from which the primary arm is chosen."""
CLAIMABLE = tuple(kind for kind in SYNTHETIC if kind != "shuffled")
"""Kinds of arms for which help by synthetic tiles can be claimed: those with correct labels."""


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier.

    Attributes
    ----------
    kind
        A control, ``dose`` or ``filtered``; defines the difference from ``real``.
    dose
        Expected share of each batch (float) or number of tiles (int) that is added to the real ones.
    balance
        Set only by the arms that exist to change the class frequencies.
    filter
        Which synthetic tiles are kept.
    """

    name: str
    kind: str
    dose: float | int | None = None
    balance: Balance | None = None
    filter: str | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the arm trains on synthetic tiles."""
        return self.kind in SYNTHETIC


class ArmsConfig(Config):
    """The `arms` section."""

    doses: tuple[int | float, ...] = ()
    controls: tuple[Control, ...] = ("real",)
    filters: tuple[FilterName, ...] = Field((), description="each adds an arm, at `dose`")
    dose: float = Field(
        0.5, gt=0, lt=1, description="share of added tiles in a batch, in arms that do not vary the dose"
    )
    keep: float = Field(0.5, gt=0, le=1, description="share of the pool that a filter keeps, of each class")
    fractions: tuple[float, ...] = Field(
        (1.0,), description="data fractions: parts of the training patients; all is fitted anew for each"
    )

    @field_validator("doses", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        if isinstance(value, list | tuple) and any(isinstance(dose, bool) for dose in value):
            raise ValueError("a dose is a share or a number of tiles, not true or false")
        return value

    @model_validator(mode="after")
    def _sound(self) -> ArmsConfig:
        if "real" not in self.controls:
            raise ValueError("`controls` must hold `real`: every arm is compared with it")
        names = [arm.name for arm in self.all]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"the arm `{twice}` is listed twice; name each dose, filter and control once")
        for dose in self.doses:
            if (isinstance(dose, float) and not 0 < dose < 1) or dose <= 0:
                raise ValueError(
                    f"dose {dose}: a float is a share between 0 and 1, an integer a number of tiles"
                )
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise ValueError(f"fraction {fraction:g}: expected a data fraction above 0 and at most 1")
        if "held-back" in self.controls and min(self.fractions, default=1.0) == 1:
            raise ValueError(
                "`held-back` adds real tiles of training patients that a fraction leaves out; "
                "give `fractions` below 1, or leave it out"
            )
        if not self.fractions:
            raise ValueError("`fractions` must hold at least one fraction; 1 is all training patients")
        return self

    @property
    def all(self) -> list[Arm]:
        """The arms in the order of the report."""
        added = ("shuffled", "held-back", "rare-only", "pretrained")
        arms = {
            "real": Arm("real", "real"),
            "augmented": Arm("augmented", "augmented"),
            "oversampled": Arm("oversampled", "oversampled", balance="sampler"),
            "natural": Arm("natural", "natural", balance="none"),
            **{name: Arm(name, name, dose=self.dose) for name in added},
            "synthetic-only": Arm("synthetic-only", "synthetic-only", dose=1.0),
        }
        wanted = [arm for name, arm in arms.items() if name in self.controls]
        return [
            *(arm for arm in wanted if arm.dose is None),
            *(Arm(dose_name(dose), "dose", dose=dose) for dose in self.doses),
            *(
                Arm(f"{dose_name(self.dose)}-{name}", "filtered", dose=self.dose, filter=name)
                for name in self.filters
            ),
            *(arm for arm in wanted if arm.dose is not None),
        ]

    def named(self, name: str) -> Arm:
        """Return the arm with a name."""
        return next(arm for arm in self.all if arm.name == name)

    @property
    def data_fractions(self) -> list[float]:
        """The data fractions, each once, the largest first."""
        return sorted(set(self.fractions), reverse=True)

    @property
    def candidates(self) -> list[Arm]:
        """The arms from which the primary arm is chosen."""
        return [arm for arm in self.all if arm.kind in CANDIDATES]


def dose_name(dose: int | float) -> str:
    """Name the arm of real tiles and a dose of synthetic ones."""
    return f"real+{dose}" if isinstance(dose, int) else f"real+{100 * dose:g}%"
