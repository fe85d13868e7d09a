"""Network inputs from labels, instance masks and stain; batched, on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

PLANES = 4
DISTANCE_CAP = 8
STAIN_SIZE = 6


@dataclass(frozen=True)
class Condition:
    """The condition of a batch of tiles. Absent conditions have a value of their own.

    ``label`` (n,) int64, -1 = no class given; ``planes`` (n, 4, h, w) float; ``stain`` (n, 7) float, the
    descriptor and a flag that says whether it is given.
    """

    label: Tensor
    planes: Tensor
    stain: Tensor

    def without(self, name: str) -> Condition:
        """Return the same condition with ``class``, ``mask`` or ``stain`` dropped."""
        if name == "class":
            return replace(self, label=torch.full_like(self.label, -1))
        if name == "mask":
            return replace(
                self, planes=drop_planes(self.planes, torch.ones_like(self.label, dtype=torch.bool))
            )
        if name == "stain":
            return replace(self, stain=torch.zeros_like(self.stain))
        raise ValueError(f"unknown condition {name!r}")

    def part(self, index: slice | Tensor) -> Condition:
        """Return the condition of some tiles of the batch."""
        return Condition(self.label[index], self.planes[index], self.stain[index])

    def to(self, device: torch.device) -> Condition:
        """Return the condition on a device."""
        return Condition(self.label.to(device), self.planes.to(device), self.stain.to(device))

    @staticmethod
    def join(parts: list[Condition]) -> Condition:
        """Concatenate conditions along the batch."""
        return Condition(
            torch.cat([p.label for p in parts]),
            torch.cat([p.planes for p in parts]),
            torch.cat([p.stain for p in parts]),
        )


def mask_planes(masks: Tensor, present: Tensor) -> Tensor:
    """Turn instance masks into four planes at full scale.

    Parameters
    ----------
    masks
        (n, h, w) integer instance labels, 0 = background.
    present
        (n,) bool; False means "no mask given", which differs from "no nuclei here".

    Returns
    -------
    (n, 4, h, w) float32: interior in [-1, 1]; boundary in [-1, 1]; distance to the boundary in [-1, 1] (8 px
    and more = 1); mask present, 0 or 1. All four are zero where no mask is given.
    """
    labels = masks[:, None].float()
    highest, lowest = _spread(_spread(labels, -1), -2), -_spread(_spread(-labels, -1), -2)
    inside = (labels > 0).float()
    core = inside * (highest == lowest)
    distance = inside + core
    eroded = core
    for turn in range(DISTANCE_CAP - 2):
        eroded = _erode(eroded, cross=turn % 2 == 0)
        distance = distance + eroded
    planes = torch.cat([2 * inside - 1, 2 * (inside - core) - 1, distance / (DISTANCE_CAP / 2) - 1], dim=1)
    given = present.to(planes.dtype)[:, None, None, None]
    return torch.cat([planes * given, given.expand(-1, 1, *masks.shape[1:])], dim=1)


def drop_planes(planes: Tensor, drop: Tensor) -> Tensor:
    """Return the planes with those of ``drop`` (n,) bool set to "no mask given"."""
    return planes * (~drop).to(planes.dtype)[:, None, None, None]


def stain_vector(descriptors: Tensor, present: Tensor) -> Tensor:
    """Append the flag *given* to (n, 6) descriptors; zeros where absent. Returns (n, 7)."""
    given = present.to(descriptors.dtype)[:, None]
    return torch.cat([descriptors * given, given], dim=1)


def dihedral(pictures: Tensor, turns: Tensor) -> Tensor:
    """Apply to each picture one of the eight flips and rotations.

    Parameters
    ----------
    pictures
        (n, ..., h, w) with h = w.
    turns
        (n,) integers 0-7: quarter turns modulo 4, mirrored from 4 on.
    """
    result = torch.empty_like(pictures)
    for turn in range(8):
        chosen = turns == turn
        if bool(chosen.any()):
            turned = torch.rot90(pictures[chosen], turn % 4, dims=(-2, -1))
            result[chosen] = turned.flip(-1) if turn >= 4 else turned
    return result


def _erode(binary: Tensor, *, cross: bool) -> Tensor:
    across = -_spread(-binary, -1)
    return torch.minimum(across, -_spread(-binary, -2)) if cross else -_spread(-across, -2)


def _spread(values: Tensor, dim: int) -> Tensor:
    """Return the maximum of each value and its two neighbours; ten times as fast as pooling one channel."""
    inner = values.shape[dim] - 1
    result = values.clone()
    here, there = result.narrow(dim, 0, inner), result.narrow(dim, 1, inner)
    torch.maximum(here, values.narrow(dim, 1, inner), out=here)
    torch.maximum(there, values.narrow(dim, 0, inner), out=there)
    return result
