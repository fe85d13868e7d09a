"""Scores of drawn masks that no layout model is fitted to, with the real-vs-real reference of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tileset import TileSet
from nucleosynth.evaluate.fidelity.features import Remembering, get_extractor
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.nuclei.layouts import compare_masks
from nucleosynth.layouts.touching import touching_share
from nucleosynth.render.outlines import draw_masks

LEAST_COVERED = 0.05
"""Least covered fraction of a mask that is searched for among others: small nuclei coincide by chance."""

Masks = NDArray[np.integer]


def turned(masks: Masks) -> list[Masks]:
    """Return masks (n, h, w) in their eight flips and rotations."""
    return [np.rot90(m, k, axes=(1, 2)) for m in (masks, masks[:, :, ::-1]) for k in range(4)]


def best_overlap(
    masks: Masks, others: Masks, *, apart: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the highest IoU of each mask with any other mask, in any of its eight orientations.

    Parameters
    ----------
    masks, others : (n, h, w), (m, h, w) integer
        Instances, 0 = background.
    apart : (n, m) bool
        Pairs to leave out.

    Returns
    -------
    (n,) float
        0 if there is no other mask.
    """
    own = (masks > 0).reshape(len(masks), -1).astype(np.float32)
    best = np.zeros(len(masks))
    for position in turned(others):
        other = (position > 0).reshape(len(others), -1).astype(np.float32)
        shared = own @ other.T
        iou = shared / np.maximum(own.sum(1)[:, None] + other.sum(1)[None] - shared, 1)
        best = np.maximum(best, (iou if apart is None else np.where(apart, 0, iou)).max(axis=1))
    return best


def spread(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Summarise values by their number and quantiles, None where there are none."""
    quantiles = {"median": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = {name: float(np.quantile(values, q)) if len(values) else None for name, q in quantiles.items()}
    return {"n": len(values), **found}


def census(masks: Masks) -> dict[str, Any]:
    """Count nuclei, those that touch another, and those in several pieces; no pixel is of two nuclei."""
    from skimage.measure import label

    nuclei = torn = 0
    for mask in masks.astype(np.int64):
        nuclei += len(np.unique(mask[mask > 0]))
        pieces = label(mask, connectivity=2)
        _, first = np.unique(pieces[mask > 0], return_index=True)
        torn += int((np.unique(mask[mask > 0][first], return_counts=True)[1] > 1).sum())
    return {
        "tiles": len(masks),
        "empty": float(np.mean(~masks.any(axis=(1, 2)))),
        "covered": float(np.mean(masks > 0)),
        "nuclei_per_tile": nuclei / len(masks),
        "touching": touching_share(masks),
        "torn": torn / max(nuclei, 1),
    }


class LayoutEvaluator:
    """Scores of drawn masks compared with training masks, with real-vs-real references."""

    def __init__(self, tiles: TileSet, train: list[str], held_out: list[str]) -> None:
        assert tiles.masks is not None
        self.tiles, self.rows = tiles, self._with_masks(tiles, train)
        held = self._with_masks(tiles, held_out)
        self.real, self.held = np.asarray(tiles.masks[self.rows]), np.asarray(tiles.masks[held])
        self.patients, self.held_patients = tiles.patients[self.rows], tiles.patients[held]
        self.extractor = Remembering(get_extractor("lite0"))
        self.others = self._copies(self.real, apart=np.eye(len(self.real), dtype=bool))

    @staticmethod
    def _with_masks(tiles: TileSet, patients: list[str]) -> NDArray[np.int64]:
        rows = tiles.rows_of(patients)
        return rows[tiles.has_mask[rows]]

    def _copies(self, masks: Masks, *, apart: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return overlaps with the training masks, of all masks but sparse ones."""
        overlaps = best_overlap(masks, self.real, apart=apart)
        kept: NDArray[np.float64] = overlaps[np.mean(masks > 0, axis=(1, 2)) >= LEAST_COVERED]
        return kept

    def references(self) -> dict[str, Any]:
        """Return real-vs-real references; those of distances and KID are with the scores."""
        akin = self.patients[:, None] == self.patients[None]
        return {
            "census": {"train": census(self.real), "held_out": census(self.held)},
            "copies": {
                "train_to_other_tiles": spread(self.others),
                "train_to_other_patients": spread(self._copies(self.real, apart=akin)),
                "held_out_to_train": spread(self._copies(self.held)),
            },
        }

    def scores(self, masks: Masks, labels: list[int], *, seed: int) -> dict[str, Any]:
        """Score drawn masks; KID is of their pictures, as many as there are training masks."""
        found = self._copies(masks)
        copied = int(np.sum(found > np.quantile(self.others, 0.99))) / max(len(found), 1)
        return {
            "distances": compare_masks(self.tiles, self.rows, masks, labels=np.asarray(labels)),
            "kid": fidelity(
                (draw_masks(self.real), self.patients),
                (draw_masks(masks), None),
                held_out=(draw_masks(self.held), self.held_patients),
                extractor=self.extractor,
                limit=len(self.real),
                seed=seed,
            ),
            "copies": {**spread(found), "above_p99_of_train_to_other_tiles": copied},
            "census": census(masks),
        }
