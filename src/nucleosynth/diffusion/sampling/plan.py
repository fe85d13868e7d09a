"""How a generator is sampled: what is asked for, checked against the model, and the denoiser of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nucleosynth.diffusion.config import own_sampling
from nucleosynth.diffusion.model.card import ModelCard
from nucleosynth.diffusion.model.conditioning import Condition
from nucleosynth.diffusion.model.ddpm_schedule import LENGTH, spaced_sigmas
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.model.spectrum import Spectrum
from nucleosynth.diffusion.recipes import OF_STUDENTS, RECIPES
from nucleosynth.diffusion.sampling.guidance import AUTO, active_terms, guided, within
from nucleosynth.diffusion.sampling.samplers import (
    SAMPLERS,
    SIGMA_MAX,
    SIGMA_MIN,
    Denoise,
    Noise,
    karras_sigmas,
    rescaled_sigma,
    spectral,
)
from nucleosynth.errors import InputError

ON_SCHEDULE = ("ddim", "ddpm")
SPECTRAL = "spectral"
SAME = ("recipe", "size", "classes", "masks", "mpp")


@dataclass(frozen=True)
class Sampling:
    """Sampler, steps and guidance, made by `settle`.

    ``bad`` is the earlier model of the guidance term ``auto``, ``levels`` the noise levels of a student,
    ``variation`` the noise level to which tiles are noised that sampling begins with, where it does.
    """

    sampler: str
    steps: int
    sigma_scale: float
    weights: Mapping[str, float]
    interval: tuple[float, float] | None
    bad: Denoiser | None
    levels: tuple[float, ...] | None = None
    variation: float | None = None

    def sigmas(self, denoiser: Denoiser) -> Tensor:
        """Return the noise levels: a student's own; DDIM and DDPM walk the schedule where there is one."""
        if self.levels is not None:
            return torch.tensor([*self.levels[: self.steps], 0.0])
        if self.sampler in ON_SCHEDULE and denoiser.limit is not None:
            return torch.from_numpy(spaced_sigmas(self.steps)).float()
        return karras_sigmas(self.steps, sigma_max=self.variation or SIGMA_MAX)

    def draw(
        self, denoiser: Denoiser, condition: Condition, noise: Noise, *, origins: Tensor | None = None
    ) -> Tensor:
        """Draw a batch, (n, 3, h, w) standardised pictures; of ``origins``, where given, variations."""
        sampler, spectrum = SAMPLERS[self.sampler], getattr(denoiser, "spectrum", None)
        if self.sampler == SPECTRAL:
            sampler = partial(spectral, spectrum=spectrum)
        sigmas = self.sigmas(denoiser)
        if origins is not None:
            noise = self._begun(origins, sigmas[0], noise, spectrum)
        return sampler(self.denoise(denoiser, condition), sigmas, noise)

    def _begun(self, origins: Tensor, sigma: Tensor, noise: Noise, spectrum: Spectrum | None) -> Noise:
        """Return the noise of which a sampler makes the noised origins as it begins."""
        noised = origins + sigma * noise(0)
        if self.sampler == SPECTRAL and spectrum is not None:
            first = spectrum.pixels(spectrum.modes(noised) / (spectrum.variance + sigma**2).sqrt())
        else:
            first = noised / (1 + sigma**2).sqrt() if self.sampler == "ddpm" else noised / sigma
        return lambda step: noise(step) if step else first

    def denoise(self, denoiser: Denoiser, condition: Condition) -> Denoise:
        """Return the denoiser of one batch: told, guided and kept within the range of pixels."""
        result = rescaled_sigma(guided(denoiser, condition, self.weights, bad=self.bad), self.sigma_scale)
        if self.interval is not None and active_terms(self.weights):
            plain = rescaled_sigma(guided(denoiser, condition, {}), self.sigma_scale)
            result = within(result, plain, self.interval)
        return clipped(result, denoiser.limit)


def settle(
    card: ModelCard,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    sigma_scale: float | None = None,
    guidance: Mapping[str, float] | None = None,
    guidance_interval: tuple[float, float] | None = None,
    bad: Denoiser | None = None,
    variation: float | None = None,
) -> Sampling:
    """Fill in what is the recipe's own and refuse what the model cannot do."""
    own = own_sampling(card.recipe, card.student, sampler)
    steps = own["steps"] if steps is None else steps
    scale = own["sigma_scale"] if sigma_scale is None else sigma_scale
    if not 1 <= steps <= LENGTH:
        raise InputError(f"sample: {steps} steps; expected 1 to {LENGTH}")
    if scale != 1 and not RECIPES[card.recipe].conditioned:
        raise InputError(f"sample: sigma_scale {scale} is of the recipe unified; {card.recipe} takes 1")
    if guidance_interval is not None and not 0 <= guidance_interval[0] <= guidance_interval[1]:
        raise InputError(
            f"guidance interval {guidance_interval}: expected the lower noise level first, from 0 up"
        )
    if variation is not None:
        _require_variation(card, variation)
    weights = dict(guidance or {})
    for term in active_terms(weights):
        if term != AUTO:
            _require_condition(card, term)
    _require_own_way(card, own["sampler"], steps, scale)
    levels = None if card.student is None else card.student.sigmas
    return Sampling(own["sampler"], steps, scale, weights, guidance_interval, bad, levels, variation)


def refuse_other_training(card: ModelCard, early: ModelCard, *, name: str) -> None:
    """Refuse an earlier model that is not one of the same training, and say in what it differs."""
    for field in SAME:
        here, there = getattr(card, field), getattr(early, field)
        if here != there:
            raise InputError(
                f"{name}: its {field} is {there!r}, the generator's {here!r}; "
                "guidance.auto needs an earlier model of the same training"
            )
    leaked = sorted(set(early.trained_on) - set(card.trained_on))
    if leaked:
        raise InputError(
            f"{name}: was trained on patient {leaked[0]}, the generator was not; give an earlier model "
            "of the same training"
        )


def clipped(denoise: Denoise, limit: float | None) -> Denoise:
    """Keep estimates within the range of pixels, as DDPM does in sampling; None leaves them."""
    if limit is None:
        return denoise
    return lambda x, sigma: denoise(x, sigma).clamp(-limit, limit)


def _require_own_way(card: ModelCard, sampler: str, steps: int, sigma_scale: float) -> None:
    """Refuse a student another sampler, noise levels it was not tuned at, and its sampler to all others."""
    if card.student is None:
        if sampler == OF_STUDENTS:
            raise InputError(
                f"sample: sampler {sampler} is for students; make one with `nucleosynth distill`"
            )
        return
    most = len(card.student.sigmas)
    if sampler != OF_STUDENTS or steps > most or sigma_scale != 1:
        raise InputError(
            f"sample: this generator is a student; give sampler {OF_STUDENTS}, at most {most} steps and "
            "sigma_scale 1, or none of them"
        )


def _require_variation(card: ModelCard, variation: float) -> None:
    """Refuse variations to a student and to recipes that walk the schedule of DDPM."""
    if not SIGMA_MIN < variation <= SIGMA_MAX:
        bounds = f"above {SIGMA_MIN:g}, at most {SIGMA_MAX:g}"
        raise InputError(f"sample: variation {variation}; expected a noise level {bounds}")
    if card.student is not None or not RECIPES[card.recipe].conditioned:
        what = "a student" if card.student is not None else f"of the recipe {card.recipe}"
        raise InputError(f"sample: this generator is {what}, which makes no variations")


def _require_condition(card: ModelCard, term: str) -> None:
    present = {"class": bool(card.classes), "mask": card.masks}
    if not RECIPES[card.recipe].conditioned:
        raise InputError(
            f"guidance: the recipe {card.recipe} was never trained without its condition, so `{term}` "
            "cannot guide; leave it at 1"
        )
    if not present[term]:
        raise InputError(f"guidance: this generator was trained without `{term}`; leave its weight at 1")
