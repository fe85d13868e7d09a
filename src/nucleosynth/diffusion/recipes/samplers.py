"""Samplers, by name: their functions, usual number of steps and first noise; free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from nucleosynth.registry import Registry, imported

USUAL_STEPS = 10
STUDENT_SAMPLER = "consistency"
"""The sampler of students; no other model takes it."""


@dataclass(frozen=True)
class Sampler:
    """One sampler with its defaults.

    Attributes
    ----------
    name
        As settings write it.
    function
        ``"module:function"`` or a callable ``(denoise, sigmas, noise) -> pictures``, see `sampling.solvers`.
    steps
        Its usual number of steps.
    starts_at
        Factor on the first noise: the noise level ``sigma``; ``unit``, the standard deviation of
        pictures of unit variance and noise together; ``spectrum``, the same for each mode of tissue.
    on_schedule
        Whether it uses the schedule of DDPM if the model was trained on it.
    """

    name: str
    function: str | Callable[..., Any]
    steps: int = USUAL_STEPS
    starts_at: Literal["sigma", "unit", "spectrum"] = "sigma"
    on_schedule: bool = False

    def load(self) -> Callable[..., Any]:
        """Return the function; import it if it is given by name."""
        if callable(self.function):
            return self.function
        found: Callable[..., Any] = imported(self.function)
        return found


_SOLVERS = "nucleosynth.diffusion.sampling.solvers"
SAMPLERS: Registry[Sampler] = Registry("sampler")
for _sampler in (
    Sampler("spectral", f"{_SOLVERS}:spectral", starts_at="spectrum"),
    Sampler("dpmpp-2m", f"{_SOLVERS}:dpmpp_2m"),
    Sampler("dpmpp-2m-sde", f"{_SOLVERS}:dpmpp_2m_sde"),
    Sampler("heun", f"{_SOLVERS}:heun"),
    Sampler("ddim", f"{_SOLVERS}:ddim", steps=50, on_schedule=True),
    Sampler("ddpm", f"{_SOLVERS}:ddpm", steps=1000, starts_at="unit", on_schedule=True),
    Sampler(STUDENT_SAMPLER, f"{_SOLVERS}:consistency", steps=2),
):
    SAMPLERS.register(_sampler.name, _sampler)


def _known(name: str) -> str:
    if name not in SAMPLERS:
        raise ValueError(SAMPLERS.unknown(name))
    return name


SamplerName = Annotated[str, AfterValidator(_known)]
"""A sampler in a configuration."""
