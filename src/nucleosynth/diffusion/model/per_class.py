"""One network per class, with the interface of a single network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.model.conditioning import Condition


class PerClassNetwork(nn.Module):
    """Networks by class; each picture goes to the network of its class and must have one."""

    def __init__(self, build: Callable[[], nn.Module], classes: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(build() for _ in range(classes))

    def forward(self, x: Tensor, c_noise: Tensor, condition: Condition) -> Tensor:
        """Map (n, 3, h, w) and (n,) to (n, 3, h, w); labels 0 and above."""
        labels = sorted(set(condition.label.tolist()))
        if len(labels) == 1:
            return self.networks[labels[0]](x, c_noise, condition)  # type: ignore[no-any-return]
        places = [(condition.label == label).nonzero()[:, 0] for label in labels]
        made = [
            self.networks[label](x[rows], c_noise[rows], condition.part(rows))
            for label, rows in zip(labels, places, strict=True)
        ]
        return torch.cat(made)[torch.cat(places).argsort()]
