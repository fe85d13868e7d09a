"""Counter-based randomness: every draw is a function of (seed, stream, index).

No generator state is ever saved. A run that resumes at step 1000, a batch of another size or another
process draws the same numbers, because each draw names its purpose.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def _key(seed: int, stream: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little")


def rng(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one draw.

    Parameters
    ----------
    seed
        The user's seed.
    stream
        Purpose of the numbers, such as ``"batch"`` or ``"noise"``.
    index
        Step or sample number; the upper half of the Philox counter, so streams of draws never overlap.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, stream), counter=[0, 0, index, 0]))


def normal(seed: int, stream: str, indices: Sequence[int], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Draw standard normal noise, one independent block per index.

    Returns
    -------
    float32 array ``(len(indices), *shape)``; block ``i`` depends on ``indices[i]`` alone.
    """
    noise = np.empty((len(indices), *shape), dtype=np.float32)
    for block, index in zip(noise, indices, strict=True):
        rng(seed, stream, int(index)).standard_normal(dtype=np.float32, out=block)
    return noise


def some_rows(
    seed: int, stream: str, rows: int | npt.NDArray[np.integer], count: int
) -> npt.NDArray[np.int64]:
    """Draw at most ``count`` of given rows (or of rows 0 to n - 1), in order."""
    return np.sort(rng(seed, stream).permutation(rows)[:count])


def torch_seed(seed: int, stream: str, index: int = 0) -> int:
    """Return a 63-bit seed for ``torch.manual_seed`` (dropout and other draws inside a network)."""
    return int(rng(seed, stream, index).integers(2**63 - 1))
