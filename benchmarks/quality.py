"""Scores of tiles drawn for given masks: agreement by the judge, KID, coverage, each beside what real is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.contenders import Trained
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.batches import slide_descriptors
from nucleosynth.diffusion.conditioning import dihedral
from nucleosynth.evaluate.features import Remembering, get_extractor
from nucleosynth.evaluate.fidelity import fidelity, patient_halves
from nucleosynth.nuclei import get_segmenter
from nucleosynth.nuclei.masks import judge_tiles, refuse_maker
from nucleosynth.runs import open_run, read_json, write_array, write_json
from nucleosynth.seeds import rng

BATCH = 32
NEIGHBOURS = 5
HALVES = 10
Part = Literal["validation", "test"]
Floats = NDArray[np.float64]


def coverage(
    real: NDArray[np.floating], other: NDArray[np.floating], *, neighbours: int = NEIGHBOURS
) -> float:
    """Share of real tiles that have one of the others as near as their k-th nearest real tile.

    Parameters
    ----------
    real, other : (n, d), (m, d) float
        Features; the more others, the higher: compare at equal m only.

    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", eq. 10.
    """
    return _covered(cdist(real, real), cdist(real, other), neighbours)


def _covered(among: Floats, between: Floats, neighbours: int = NEIGHBOURS) -> float:
    """See `coverage`; (n, n) distances among real tiles and (n, m) to the others."""
    ordered = np.sort(among, axis=1)  # column 0 is the tile itself
    radius = ordered[:, min(neighbours, len(among) - 1)]
    return float(np.mean(between.min(axis=1) <= radius))


def coverage_of_real(
    real: NDArray[np.floating], patients: NDArray[np.str_], drawn: NDArray[np.floating], *, seed: int
) -> dict[str, float | None]:
    """Coverage of halves of the patients, by drawn tiles and by equally many real ones of the other half.

    Parameters
    ----------
    real, drawn : (n, d), (m, d) float
        Features.
    patients : (n,) str
        Patient of each real tile.

    Returns
    -------
    ``synthetic`` and ``real``, means over the halves, and ``of_real``, the one by the other. None where the
    patients cannot be halved.
    """
    among, between = cdist(real, real), cdist(real, drawn)
    pairs: list[tuple[float, float]] = []
    for one, other in patient_halves(patients, count=HALVES, seed=seed):
        for covered, by in ((one, other), (other, one)):
            n = min(len(by), len(drawn))
            some = rng(seed, "coverage", len(pairs)).permutation(by)[:n]
            mine = rng(seed, "coverage-drawn", len(pairs)).permutation(len(drawn))[:n]
            own = among[np.ix_(covered, covered)]
            pairs.append(
                (_covered(own, between[np.ix_(covered, mine)]), _covered(own, among[np.ix_(covered, some)]))
            )
    if not pairs:
        return {"synthetic": None, "real": None, "of_real": None}
    ours, reals = (float(mean) for mean in np.mean(pairs, axis=0))
    return {"synthetic": ours, "real": reals, "of_real": ours / reals if reals else None}


@dataclass(frozen=True)
class Asked:
    """What contenders are asked for: masks of held-out patients, stains of training slides."""

    masks: NDArray[np.int32]  # (n, h, w)
    stain: NDArray[np.float32]  # (n, 6)
    patients: NDArray[np.str_]  # (n,) whose mask it is


class QualityJudge:
    """Scores contenders that learned from the training patients of a fold.

    Parameters
    ----------
    part
        Whose masks are asked for and whose real tiles set ceiling and *between* floor.
    samples
        Tiles per contender; masks come round again, each time turned or mirrored in another way.
    """

    def __init__(self, tiles: TileSet, fold: Fold, part: Part, *, samples: int, seed: int) -> None:
        assert tiles.masks is not None
        self.tiles, self.seed, self.part = tiles, seed, part
        held = tiles.rows_of(getattr(fold, part))
        held, train = held[tiles.has_mask[held]], tiles.rows_of(fold.train)
        self.real = np.asarray(tiles.images[train]), tiles.patients[train]
        self.held = np.asarray(tiles.images[held]), np.asarray(tiles.masks[held]), tiles.patients[held]
        self.asked = self._ask(held, train, samples)
        self.extractor = Remembering(get_extractor("lite0"))
        self.segmenter = get_segmenter("judge")
        refuse_maker(self.segmenter, tiles)

    def _ask(self, held: NDArray[np.int64], train: NDArray[np.int64], samples: int) -> Asked:
        assert self.tiles.masks is not None
        rounds = [rng(self.seed, "asked", turn).permutation(held) for turn in range(-(-samples // len(held)))]
        rows = np.concatenate(rounds)[:samples]
        turns = torch.from_numpy(rng(self.seed, "asked-turns").integers(8, size=samples))
        masks = torch.from_numpy(np.asarray(self.tiles.masks[rows]).astype(np.int32))
        stains = slide_descriptors(self.tiles, train)
        picked = rng(self.seed, "asked-stain").integers(len(train), size=samples)
        return Asked(dihedral(masks, turns).numpy(), stains[picked], self.tiles.patients[rows])

    def settings(self) -> dict[str, Any]:
        """What two rows must share to be compared."""
        return {
            "part": self.part,
            "samples": len(self.asked.masks),
            "seed": self.seed,
            "extractor": f"{self.extractor.name} {self.extractor.weights_hash}",
            "judge": f"{self.segmenter.name} {self.segmenter.weights_hash}",
        }

    def draw(
        self, model: Trained, sampling: Mapping[str, Any], *, weights: str, out: Path
    ) -> tuple[NDArray[np.uint8], float]:
        """Draw all tiles, or go on in ``out``; the seconds that it took. ``weights`` names the model."""
        settings = {"sampling": dict(sampling), "weights": weights, **self.settings()}
        masks, stain = self.asked.masks, self.asked.stain
        with open_run(out, kind="samples", config=settings) as run:
            for start in range(0, len(masks), BATCH):
                part = slice(start, start + BATCH)
                kept = run.path / f"{start:05d}.npy"
                if kept.exists():
                    continue
                began = time.perf_counter()
                made = model.sample(masks[part], stain=stain[part], seed=self.seed, first=start, **sampling)
                write_json(kept.with_suffix(".json"), {"seconds": time.perf_counter() - began})
                write_array(kept, made)
            files = sorted(run.path.glob("*.npy"))
            seconds = [_seconds(file.with_suffix(".json")) for file in files]
            return np.concatenate([np.load(file) for file in files]), sum(seconds)

    def scores(self, made: NDArray[np.uint8]) -> dict[str, Any]:
        """Agreement, KID and coverage, with floors and ceilings."""
        assert self.tiles.mpp is not None
        asked = self.asked
        return {
            "agreement": judge_tiles(
                self.segmenter, (made, asked.masks, asked.patients), real=self.held, mpp=self.tiles.mpp
            ),
            "fidelity": fidelity(
                self.real,
                (made, None),
                held_out=(self.held[0], self.held[2]),
                extractor=self.extractor,
                limit=len(made),
                seed=self.seed,
            ),
            "coverage": coverage_of_real(
                self.extractor(self.real[0]), self.real[1], self.extractor(made), seed=self.seed
            ),
        }


def _seconds(path: Path) -> float:
    return float(read_json(path)["seconds"])
