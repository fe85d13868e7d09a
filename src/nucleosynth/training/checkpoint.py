"""Checkpoints: a directory of safetensors and a JSON state; two are kept, the older in case of damage."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nucleosynth.errors import InputError, NucleosynthError
from nucleosynth.files import file_hash, partial, read_json, write_json

KEPT = 2
_log = logging.getLogger(__name__)


def save_checkpoint(
    directory: Path, step: int, *, model: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state after ``step`` steps, then remove all but the newest two."""
    parts = {"model": model.state_dict(), "ema": ema, "optimizer": _optimizer_tensors(optimizer)}
    with partial(directory / f"step-{step:08d}") as building:
        building.mkdir()
        hashes = {}
        for name, tensors in parts.items():
            file = building / f"{name}.safetensors"
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, file)
            hashes[file.name] = file_hash(file)
        write_json(building / "state.json", {"step": step, "hashes": hashes})
    for old in _newest_first(directory)[KEPT:]:
        shutil.rmtree(old)


def load_checkpoint(
    directory: Path, *, model: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> int:
    """Restore the newest complete checkpoint in place and return its step; 0 if there is none.

    A damaged one is logged and the other is used.
    """
    for path in _newest_first(directory):
        try:
            step, parts = _read(path)
        except (NucleosynthError, OSError, SafetensorError, KeyError, TypeError) as error:
            _log.warning("%s: damaged checkpoint (%s); falling back to the one before", path, error)
            continue
        model.load_state_dict(parts["model"])
        with torch.no_grad():
            for name, value in ema.items():
                value.copy_(parts["ema"][name])
        _restore_optimizer(optimizer, parts["optimizer"])
        return step
    return 0


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*"), reverse=True)


def _read(path: Path) -> tuple[int, dict[str, dict[str, Tensor]]]:
    state = read_json(path / "state.json")
    for name, expected in state["hashes"].items():
        if file_hash(path / name) != expected:
            raise InputError(f"{name} differs from its hash")
    return int(state["step"]), {
        n: load_file(path / f"{n}.safetensors") for n in ("model", "ema", "optimizer")
    }


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the moments in the memory layout of their weights, as fused optimisers need the same layout."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        slots.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, moments in optimizer.state.items():
        for key, value in moments.items():
            if value.shape == weight.shape:
                moments[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
