"""Choice of device, precision and compiler; not a setting of a run, so runs can move between machines."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from nucleosynth.arguments import as_text
from nucleosynth.errors import InputError

COMPILE = "NUCLEOSYNTH_COMPILE"
"""Environment variable: a backend of `torch.compile`, usually ``inductor``; unset: nothing is compiled."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    On CUDA, convolutions that are left in float32 run in TF32 from then on. Matrix products do not: the
    change of basis of `Spectrum` is one, and rounds fine texture away in TF32.

    Raises
    ------
    InputError
        The device does not exist here.
    """
    device = _best() if isinstance(name, str) and name == "auto" else _named(name)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _named(name: str) -> torch.device:
    try:
        name = as_text(name, "device", such_as="auto")
        device = torch.device(name)
    except (RuntimeError, ValueError):
        raise InputError(f"--device {name}: unknown; use auto, cpu, cuda, cuda:N or mps") from None
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise InputError(f"--device {name}: not available on this machine; use auto or cpu")
    return device


def compile_if_asked(network: nn.Module) -> None:
    """Compile a network in place if the environment variable `COMPILE` names a backend.

    Its weights keep their names, so saved files are the same. On CPUs no gain was measured, so nothing is
    compiled by default.

    Raises
    ------
    InputError
        The backend is unknown to torch.
    """
    backend = os.environ.get(COMPILE)
    if not backend:
        return
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        usual = ", ".join(torch.compiler.list_backends())
        raise InputError(
            f"{COMPILE}={backend}: not a backend of torch.compile; use one of {usual}, or unset it"
        )
    network.compile(backend=backend)


def inference_precision(device: torch.device) -> torch.dtype:
    """Return the dtype of fastest inference: bfloat16 only if the hardware computes in it.

    On a CPU without bfloat16 instructions autocast is many times slower than float32 (measured: 9 x).
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device, *, training: bool = False) -> AbstractContextManager[object]:
    """Return the autocast of a device, or a context that does nothing.

    Training uses bfloat16 or none: float16 would need its losses scaled. On a CPU it pays for dense
    convolutions (measured: 1.4 x) and costs for depthwise ones (0.5 x).
    """
    dtype = inference_precision(device)
    if dtype is torch.float32 or (training and dtype is not torch.bfloat16):
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
