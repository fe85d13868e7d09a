"""The linear schedule of DDPM in the coordinates of the samplers; free of torch.

Ho et al. 2020 mix ``sqrt(a) x + sqrt(1 - a) noise``, ``a`` the running product of ``1 - beta``. Divided by
``sqrt(a)`` this is ``x + sigma noise`` with ``sigma = sqrt((1 - a) / a)``: the same process, so every
sampler of `samplers` works on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LENGTH = 1000
BETA_FIRST, BETA_LAST = 1e-4, 0.02


def linear_sigmas() -> npt.NDArray[np.float64]:
    """Return the noise level of each of the 1000 steps, rising from 0.01 to 157."""
    kept = np.cumprod(1 - np.linspace(BETA_FIRST, BETA_LAST, LENGTH))
    return np.asarray(np.sqrt((1 - kept) / kept))


def spaced_sigmas(steps: int) -> npt.NDArray[np.float64]:
    """Return ``steps`` levels of the schedule from high to low, evenly spaced in t, and a closing zero."""
    chosen = np.linspace(LENGTH - 1, 0, steps).round().astype(int)
    return np.append(linear_sigmas()[chosen], 0.0)
