"""A small network that separates real from synthetic tissue, patch by patch, given the condition.

It is trained from scratch together with the student. No pretrained features are used, in particular none of
those that score.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nucleosynth.diffusion.model.conditioning import PLANES, STAIN_SIZE, Condition

FOLD = 2
PICTURE = 6
MULTIPLIERS = (1, 2, 2)


class PatchDiscriminator(nn.Module):
    """Logits on three grids: texture (receptive field 10 px), membranes (26 px) and layout (58 px).

    Parameters
    ----------
    classes
        Number of classes; one more embedding row stands for "no class given".
    width
        Channels of the finest grid; doubled on the other two.
    """

    def __init__(self, *, classes: int, width: int) -> None:
        super().__init__()
        self.stain = nn.Linear(STAIN_SIZE + 1, width)
        self.label = nn.Embedding(classes + 1, width)
        self.levels, self.plain, self.asked = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        current = (PICTURE + PLANES) * FOLD**2
        for level, multiplier in enumerate(MULTIPLIERS):
            channels = width * multiplier
            self.levels.append(_Level(current, channels, stride=2 if level else 1))
            self.plain.append(nn.Conv2d(channels, 1, 1))
            self.asked.append(nn.Linear(width, channels))
            current = channels

    def forward(self, pictures: Tensor, condition: Condition) -> Tensor:
        """Map (n, 6, h, w) pictures, plain and whitened, to (n, patches) logits, the higher the more real.

        Stain and class enter by projection (Miyato & Koyama 2018, "cGANs with projection discriminator").
        """
        asked = self.stain(condition.stain) + self.label(condition.label + 1)  # (n, width)
        h = F.pixel_unshuffle(torch.cat([pictures, condition.planes], dim=1), FOLD)
        logits = []
        for level, plain, project in zip(self.levels, self.plain, self.asked, strict=True):
            h = level(h)
            match = torch.einsum("nchw,nc->nhw", h, project(asked)) / h.shape[1] ** 0.5
            logits.append((plain(h)[:, 0] + match).flatten(1))
        return torch.cat(logits, dim=1)


class _Level(nn.Module):
    """Two 3x3 convolutions without normalisation: batch statistics would reveal real and synthetic."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


def relativistic(real: Tensor, made: Tensor) -> Tensor:
    """Return the discriminator's loss, patch by patch: each real patch is paired with the synthetic one.

    Both have the same mask and stain, so the pair differs only in realism. The student's loss is the same
    with exchanged arguments.

    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator"; paired as in Huang et al. 2024, "The
    GAN is dead; long live the GAN".
    """
    return F.softplus(made - real).mean()


def gradient_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Return the mean squared gradient of a patch's logit, a penalty on relying on single pixels.

    Source: Mescheder et al. 2018, "Which training methods for GANs do actually converge?" (R1); on made
    pictures as well (R2), as in Huang et al. 2024. Divided by the number of patches.
    """
    (slope,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return slope.square().sum() / logits.numel()
