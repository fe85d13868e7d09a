"""The input scale of a backbone: channel mean and standard deviation of its pretraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

Scale = tuple[tuple[float, float, float], tuple[float, float, float]]

SYMMETRIC: Scale = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Pixels in [0, 1] scaled to [-1, 1]: lite0, EfficientNetV2 of TensorFlow, models trained from scratch."""


def input_scale(module: nn.Module) -> Scale:
    """Return the mean and standard deviation that a timm model was pretrained with.

    Parameters
    ----------
    module : nn.Module
        A model by :func:`create_backbone`.

    Returns
    -------
    mean, std : tuple of three floats each
        For RGB in [0, 1]; :data:`SYMMETRIC` where the model states none.
    """
    stated: Any = getattr(module, "pretrained_cfg", None) or {}
    mean, std = stated.get("mean"), stated.get("std")
    if mean is None or std is None or len(mean) != 3 or len(std) != 3:
        return SYMMETRIC
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def to_input(images: NDArray[np.uint8], *, scale: Scale = SYMMETRIC) -> torch.Tensor:
    """Turn a batch of tiles into a network's input.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB.
    scale : (mean, std)
        By :func:`input_scale`.

    Returns
    -------
    (n, 3, h, w) float32
        In the channels-last memory layout, which convolutions on a CPU prefer.
    """
    import numpy as np
    import torch

    mean, std = (torch.tensor(values)[None, :, None, None] for values in scale)
    batch = torch.from_numpy(np.array(images, dtype=np.float32)).permute(0, 3, 1, 2)  # n 3 h w, channels last
    return batch.div_(255).sub_(mean).div_(std)
