"""Search for the nearest tile in the features of a network, over turns and mirrorings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleosynth.evaluate.fidelity.features import Extractor, sound_features
from nucleosynth.evaluate.memorization.structure_search import TURNS, Matches, turned


class FeatureSearch:
    """A search for the nearest reference by the cosine of features, like `StructureSearch` for structure."""

    def __init__(self, network: Extractor, references: NDArray[np.uint8]) -> None:
        self._network = network
        self._known = _unit(sound_features(network, references, of="reference tiles"))

    def __call__(
        self, queries: NDArray[np.uint8], *, apart: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None
    ) -> Matches:
        """Return the nearest reference of each query, as `StructureSearch`; shifts are zero."""
        asked = []
        for turn in range(TURNS):
            tiles = np.ascontiguousarray(turned(queries, turn))
            asked.append(_unit(sound_features(self._network, tiles, of="searched tiles", varied=False)))
        scores = np.stack([features @ self._known.T for features in asked])  # 8 n m
        if apart is not None:
            scores[:, apart[0][:, None] == apart[1][None]] = -1
        best = scores.max(axis=0)
        reference = best.argmax(axis=1)
        every = np.arange(len(queries))
        turn = scores[:, every, reference].argmax(axis=0)
        return Matches(best[every, reference], reference, turn, np.zeros((len(queries), 2), np.int64))


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12), np.float32)
