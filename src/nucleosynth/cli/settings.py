"""Settings on the command line: ``--classifier.seeds 3`` sets ``seeds`` in the section ``classifier``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from nucleosynth.config import Config, load_yaml, override, parse
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from nucleosynth.data.split import Split
    from nucleosynth.layouts.atypia import Dial

C = TypeVar("C", bound=Config)

# Options with a dot that are not settings of a study.
NOT_SETTINGS = (
    "--data.root",
    "--guidance.class",
    "--guidance.mask",
    "--guidance.auto",
    "--guidance.interval",
    "--dial.size-ratio",
    "--dial.anisonucleosis",
    "--dial.irregularity",
    "--dial.density",
)

Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="SECTION.KEY=VALUE: any setting of the study file; --SECTION.KEY VALUE does the same.",
    ),
]
Root = Annotated[
    Path | None,
    Parameter(
        name="--data.root", env_var="NUCLEOSYNTH_DATA", help="Data folder; relative paths start there."
    ),
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1, mps.")]
Seed = Annotated[int, Parameter(help="Seed of all random draws.")]
Out = Annotated[Path, Parameter(help="Output folder; an interrupted run continues there.")]
StudyFile = Annotated[Path | None, Parameter(name="--study", help="Study file to take the settings from.")]


@Parameter(name="*")
@dataclass(frozen=True)
class DialOptions:
    """The atypia dial on the command line; 1 leaves layouts as learned."""

    size_ratio: Annotated[
        float, Parameter(name="--dial.size-ratio", help="Factor on the mean nuclear diameter of real tiles.")
    ] = 1.0
    anisonucleosis: Annotated[
        float,
        Parameter(name="--dial.anisonucleosis", help="Factor on the diameter's variation within a tile."),
    ] = 1.0
    irregularity: Annotated[
        float, Parameter(name="--dial.irregularity", help="Factor on the waves of the nuclear contour.")
    ] = 1.0
    density: Annotated[
        float,
        Parameter(name="--dial.density", help="Factor on the nuclei per area, as far as there is room."),
    ] = 1.0

    def read(self) -> Dial:
        """Check the values."""
        from nucleosynth.layouts.atypia import Dial

        return parse(Dial, asdict(self), source="--dial")


@Parameter(name="*")
@dataclass(frozen=True)
class SamplingOptions:
    """How tiles are drawn, on the command line; what is left out is the generator's own."""

    steps: Annotated[
        int | None,
        Parameter(help="Steps of the sampler; else 10, ddim 50, ddpm 1000, of a student all that it has."),
    ] = None
    sampler: Annotated[
        str | None,
        Parameter(help="spectral, dpmpp-2m, dpmpp-2m-sde, heun, ddim, ddpm, of a student consistency."),
    ] = None
    sigma_scale: Annotated[
        float | None, Parameter(help="Factor on the noise level given to the network; 1 is off.")
    ] = None
    class_guidance: Annotated[float, Parameter(name="--guidance.class", help="1 is no guidance.")] = 1.0
    mask_guidance: Annotated[float, Parameter(name="--guidance.mask", help="1 is no guidance.")] = 1.0
    auto_guidance: Annotated[float, Parameter(name="--guidance.auto", help="1 is no guidance.")] = 1.0
    guidance_interval: Annotated[
        tuple[float, float] | None,
        Parameter(
            name="--guidance.interval", negative="", help="Lowest and highest noise level that is guided."
        ),
    ] = None
    variation: Annotated[
        float | None,
        Parameter(
            help="Noise level to which the donor is noised, then denoised; else tiles come from noise."
        ),
    ] = None

    @property
    def request(self) -> dict[str, object]:
        """The same in the words of the section ``synthesis``."""
        return {
            "steps": self.steps,
            "sampler": self.sampler,
            "sigma_scale": self.sigma_scale,
            "guidance": {
                "class": self.class_guidance,
                "mask": self.mask_guidance,
                "auto": self.auto_guidance,
            },
            "guidance_interval": self.guidance_interval,
            "variation": self.variation,
        }


def gather_settings(words: Sequence[str]) -> list[str]:
    """Rewrite every ``--a.b VALUE`` and ``--a.b=VALUE`` as ``--set=a.b=VALUE``.

    Raises
    ------
    InputError
        If a setting has no value.
    """
    gathered, rest = [], iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if not _is_setting(option):
            gathered.append(word)
            continue
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise InputError(f"{option}: its value is missing; write {option} VALUE")
        gathered.append(f"--set={option[2:].replace('-', '_')}={value}")
    return gathered


def settings_error(message: str, words: Sequence[str]) -> str:
    """Return a message with the user's own option if a command takes no settings."""
    given = [word.partition("=")[0] for word in words]
    settings = [option for option in given if _is_setting(option)]
    if settings and "--set" in message and "--set" not in given:
        return f"unknown option {settings[0]}; this command takes no settings (see its --help)"
    return message


def load_section(model: type[C], section: str, *, study: Path | None, settings: Sequence[str] | None) -> C:
    """Read one section of a study file, or take its defaults, and apply the settings.

    Raises
    ------
    InputError
        If a setting belongs to another section, or a key or value is wrong.
    """
    for setting in settings or ():
        if setting.partition(".")[0] != section:
            raise InputError(
                f"--{setting.partition('=')[0]}: this command takes settings of `{section}` only"
            )
    data = load_yaml(study) if study else {}
    values = override({section: data.get(section) or {}}, settings or ())[section]
    if not isinstance(values, dict):
        raise InputError(f"{study}: `{section}` must be a mapping of settings")
    return parse(model, values, source=f"{study or 'settings'}: {section}")


def open_split(path: Path, fold: int) -> Split:
    """Read a split file and refuse one without the requested fold."""
    from nucleosynth.data.split import Split

    split = Split.load(path)
    if not 0 <= fold < len(split.folds):
        raise InputError(f"--fold {fold}: {path} has {len(split.folds)}, counted from 0")
    return split


def _is_setting(option: str) -> bool:
    return option.startswith("--") and "." in option and option not in NOT_SETTINGS
