"""Scores of tiles drawn for given masks: agreement, KID and coverage, with references of real tiles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contenders import Trained
from nucleosynth.data.slide_stain import slide_descriptors
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.model.conditioning import dihedral
from nucleosynth.evaluate.fidelity.features import Remembering, get_extractor
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.nuclei.mask_scores import refuse_own_masks, tile_mask_scores
from nucleosynth.files import read_json, write_array, write_json
from nucleosynth.runs import open_run
from nucleosynth.seeds import rng
from nucleosynth.segmentation.segmenter import get_segmenter

BATCH = 32
Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Asked:
    """Conditions for all contenders: masks of held-out patients, stains of training slides."""

    masks: NDArray[np.int32]  # (n, h, w)
    stain: NDArray[np.float32]  # (n, 6)
    patients: NDArray[np.str_]  # (n,) patient of the mask


class TileEvaluator:
    """A common evaluation of contenders that were trained on the training patients of a fold.

    Parameters
    ----------
    part
        Part whose masks are requested and whose real tiles give ceiling and *between* reference.
    samples
        Tiles per contender; masks are repeated, each time turned or mirrored in another way.
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
        refuse_own_masks(self.segmenter, tiles)

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
        """Return the settings that two rows must share to be compared."""
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
        """Draw all tiles, or continue in ``out``; return tiles and seconds. ``weights`` names the model."""
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
        """Return agreement, KID and coverage, with references and ceilings."""
        assert self.tiles.mpp is not None
        asked = self.asked
        agreement = tile_mask_scores(
            self.segmenter, (made, asked.masks, asked.patients), real=self.held, mpp=self.tiles.mpp
        )
        near = fidelity(
            self.real,
            (made, None),
            held_out=(self.held[0], self.held[2]),
            extractor=self.extractor,
            limit=len(made),
            seed=self.seed,
        )
        return {"agreement": agreement, "fidelity": near, "coverage": near["neighbours"]["coverage"]}


def _seconds(path: Path) -> float:
    return float(read_json(path)["seconds"])
