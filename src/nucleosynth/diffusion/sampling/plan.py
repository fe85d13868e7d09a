"""The sampling plan: sampler, steps and guidance, resolved once against a model's card; free of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from nucleosynth.arguments import as_int, as_number, shown
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.ddpm_schedule import LENGTH
from nucleosynth.diffusion.recipes.samplers import SAMPLERS, STUDENT_SAMPLER, USUAL_STEPS, Sampler
from nucleosynth.errors import InputError

CONDITIONS = ("class", "mask")
AUTO = "auto"
SIGMA_MIN, SIGMA_MAX = 0.03, 40.0
"""Lowest and highest noise level of samplers, for tissue of unit variance."""


class SamplingRequest(TypedDict, total=False):
    """Sampling settings of a caller; a missing or None entry is the model's own."""

    sampler: str | Callable[..., Any] | None
    steps: int | None
    sigma_scale: float | None
    guidance: Mapping[str, float] | None
    guidance_interval: tuple[float, float] | None
    variation: float | None


@dataclass(frozen=True)
class SamplingPlan:
    """Complete sampling settings of a model; made by `resolve_sampling`.

    Attributes
    ----------
    guidance
        Weights of the terms ``class``, ``mask`` and ``auto``; 1 is off.
    guidance_interval
        Lowest and highest noise level at which guidance is on; None: all.
    variation
        Noise level to which given tiles are noised before they are denoised; None: tiles come from noise.
    levels
        The noise levels of a student; None: those of the sampler.
    """

    sampler: Sampler
    steps: int
    sigma_scale: float = 1.0
    guidance: Mapping[str, float] = field(default_factory=dict)
    guidance_interval: tuple[float, float] | None = None
    variation: float | None = None
    levels: tuple[float, ...] | None = None

    @property
    def needs_early(self) -> bool:
        """Whether guidance needs an earlier model of the same training."""
        return AUTO in active_terms(self.guidance)

    @property
    def stated(self) -> dict[str, Any]:
        """The settings that a request left open, as resolved, for the record."""
        return {"sampler": self.sampler.name, "steps": self.steps, "sigma_scale": self.sigma_scale}


def resolve_sampling(card: ModelCard, **request: Unpack[SamplingRequest]) -> SamplingPlan:
    """Complete a request with the model's defaults, and refuse what the model cannot do.

    Parameters
    ----------
    card
        Card of the model.
    request
        See `SamplingRequest`.

    Raises
    ------
    InputError
        The sampler is unknown, steps or levels are out of range, a condition cannot guide, the model makes no
        variations, or a student is given other sampling settings than its own.
    """
    unknown = sorted(set(request) - set(SamplingRequest.__annotations__))
    if unknown:
        known = ", ".join(SamplingRequest.__annotations__)
        raise InputError(f"sample: unknown option `{unknown[0]}`; known are {known}")
    sampler, steps, scale = _settled(card, request)
    interval, variation = _interval(request.get("guidance_interval")), request.get("variation")
    weights = _weights(request.get("guidance"))
    if not 1 <= steps <= LENGTH:
        raise InputError(f"sample: {steps} steps; expected 1 to {LENGTH}")
    if scale != 1 and not card.recipe.conditioned:
        raise InputError(f"sample: sigma_scale {scale} is of the recipe unified; {card.recipe} takes 1")
    if variation is not None:
        variation = as_number(variation, "variation")
        _require_variation(card, variation)
    for term in active_terms(weights):
        if term != AUTO:
            _require_guidance(card, term)
    _require_student_sampling(card, sampler, steps, scale)
    levels = None if card.student is None else card.student.sigmas
    return SamplingPlan(sampler, steps, scale, weights, interval, variation, levels)


def active_terms(weights: Mapping[str, float]) -> list[str]:
    """Return the guidance terms whose weight is not 1, `auto` last; an unknown one is named."""
    unknown = sorted(set(weights) - {*CONDITIONS, AUTO})
    if unknown:
        raise InputError(f"guidance: unknown term `{unknown[0]}`; use `class`, `mask` and `auto`")
    return [name for name in (*CONDITIONS, AUTO) if weights.get(name, 1.0) != 1.0]


def _settled(card: ModelCard, request: SamplingRequest) -> tuple[Sampler, int, float]:
    asked, steps, scale = request.get("sampler"), request.get("steps"), request.get("sigma_scale")
    if callable(asked):
        own: dict[str, Any] = {"steps": USUAL_STEPS, "sigma_scale": 1.0}
        sampler = Sampler(getattr(asked, "__name__", "callable"), asked)
    else:
        levels = None if card.student is None else len(card.student.sigmas)
        own = card.recipe.defaults(asked, levels=levels)
        sampler = SAMPLERS.get(own["sampler"])
    steps = own["steps"] if steps is None else as_int(steps, "steps")
    return sampler, steps, own["sigma_scale"] if scale is None else as_number(scale, "sigma_scale", least=0)


def _weights(guidance: object) -> dict[str, float]:
    """Return the weight of each guidance term."""
    if guidance is None:
        return {}
    if not isinstance(guidance, Mapping):
        raise InputError(f"guidance is {shown(guidance)}; expected weights such as {{'class': 1.5}}")
    return {str(term): as_number(weight, f"guidance.{term}") for term, weight in guidance.items()}


def _interval(interval: object) -> tuple[float, float] | None:
    """Return the lowest and the highest noise level at which guidance is on."""
    if interval is None:
        return None
    if not isinstance(interval, Sequence) or isinstance(interval, str | bytes) or len(interval) != 2:
        raise InputError(
            f"guidance interval is {shown(interval)}; expected two noise levels, such as (0.2, 5)"
        )
    low, high = (as_number(level, "guidance interval") for level in interval)
    if not 0 <= low <= high:
        raise InputError(f"guidance interval {(low, high)}: expected the lower noise level first, from 0 up")
    return low, high


def _require_student_sampling(card: ModelCard, sampler: Sampler, steps: int, sigma_scale: float) -> None:
    """Refuse other samplers and noise levels for a student, and its sampler for other models."""
    if card.student is None:
        if sampler.name == STUDENT_SAMPLER:
            raise InputError(
                f"sample: sampler {sampler.name} is for students; make one with `nucleosynth distill`"
            )
        return
    most = len(card.student.sigmas)
    if sampler.name != STUDENT_SAMPLER or steps > most or sigma_scale != 1:
        raise InputError(
            f"sample: this generator is a student; give sampler {STUDENT_SAMPLER}, at most {most} steps and "
            "sigma_scale 1, or none of them"
        )


def _require_variation(card: ModelCard, variation: float) -> None:
    """Refuse variations by a student and by recipes on the schedule of DDPM."""
    if not SIGMA_MIN < variation <= SIGMA_MAX:
        bounds = f"above {SIGMA_MIN:g}, at most {SIGMA_MAX:g}"
        raise InputError(f"sample: variation {variation}; expected a noise level {bounds}")
    if card.student is not None or not card.recipe.conditioned:
        what = "a student" if card.student is not None else f"of the recipe {card.recipe}"
        raise InputError(f"sample: this generator is {what}, which makes no variations")


def _require_guidance(card: ModelCard, term: str) -> None:
    present = {"class": bool(card.classes), "mask": card.masks}
    if not card.recipe.conditioned:
        raise InputError(
            f"guidance: the recipe {card.recipe} was never trained without its condition, so `{term}` "
            "cannot guide; leave it at 1"
        )
    if not present[term]:
        raise InputError(f"guidance: this generator was trained without `{term}`; leave its weight at 1")
