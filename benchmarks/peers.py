"""The peers as published, each conditioned on the mask by one more input channel, behind one protocol.

Both are installed, not copied: `denoising-diffusion-pytorch` and `diffusers` of the extra ``bench``. A peer
brings its own network, objective, noise schedule and sampling loop. It is trained by the loop of this project
(AdamW, warm-up, cosine decay, clipping, budget, weight average, exact resume), on the batches that our own
recipes get: the same tiles in the same order, in the same eight flips and turns, which is more than the
horizontal flip of the peers' own data sets.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucleosynth.errors import InputError
from nucleosynth.seeds import torch_seed
from nucleosynth.training.devices import autocast

MaskScale = Literal["1/255", "[-1, 1]"]
"""Scale of the mask channel: a label picture (inside = 1) divided by 255, as in public code, or in full."""

LENGTH = 1000
CPU = torch.device("cpu")
SIZES: dict[str, Sequence[int]] = {"ddpm-pytorch": range(8, 65, 4), "diffusers": range(8, 129, 8)}
"""Widths that a peer can be narrowed to; the last one is its own."""


class Peer(ABC):
    """A network of a peer, its loss and its sampling loop; pictures and masks are those of this project."""

    library: str
    network: nn.Module

    def __init__(self, size: int, mask: MaskScale) -> None:
        self.size, self.mask = size, mask

    @property
    def parameters_count(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.network.parameters())

    @abstractmethod
    def loss(self, pixels: Tensor, inside: Tensor) -> Tensor:
        """Return the loss of (n, 3, h, w) pixels 0-255 and (n, 1, h, w) masks, 1 inside nuclei, 0 outside."""

    @abstractmethod
    def draw(self, inside: Tensor, steps: int) -> Tensor:
        """Draw (n, 3, h, w) pictures in [0, 1] in so many steps: ancestral with all 1000, DDIM with fewer."""

    def channel(self, inside: Tensor) -> Tensor:
        """Scale masks for the input of this peer."""
        return inside / 255 if self.mask == "1/255" else 2 * inside - 1

    @torch.inference_mode()
    def sample(
        self, masks: NDArray[np.integer], *, steps: int, seed: int = 0, first: int = 0, batch: int = 32
    ) -> NDArray[np.uint8]:
        """Draw a tile for each mask.

        Parameters
        ----------
        masks : (n, h, w) integer
            Instances, 0 = background.
        steps
            Network evaluations per tile.
        seed, first, batch
            Peers draw noise by batch, so a tile depends on all three; ``first`` is the number of the first.

        Returns
        -------
        (n, h, w, 3) uint8
        """
        if not 1 <= steps <= LENGTH:
            raise InputError(f"{self.library}: {steps} steps; expected 1 to {LENGTH}")
        self.network.eval()
        made = []
        for start in range(0, len(masks), batch):
            torch.manual_seed(torch_seed(seed, "peer", first + start))
            inside = torch.from_numpy(masks[start : start + batch] > 0)[:, None].float()
            with autocast(CPU):
                pictures = self.draw(inside, steps)
            made.append((255 * pictures.float()).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(made).permute(0, 2, 3, 1).contiguous().numpy()


class _WithMaskChannel(nn.Module):
    """A network with the mask as one more input channel, as lucidrains' diffusion has no condition."""

    channels, out_dim = 3, 3
    self_condition = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mask: Tensor | None = None

    def forward(self, x: Tensor, time: Tensor, _self_condition: Tensor | None = None) -> Tensor:
        assert self.mask is not None
        noisy = torch.cat([x, self.mask], dim=1).contiguous(memory_format=torch.channels_last)
        return self.network(noisy, time)  # type: ignore[no-any-return]


class DdpmPytorch(Peer):
    """`Unet` and `GaussianDiffusion` of lucidrains at their defaults: v-prediction, sigmoid schedule."""

    library = "denoising-diffusion-pytorch"

    def __init__(self, size: int, mask: MaskScale, *, width: int = SIZES["ddpm-pytorch"][-1]) -> None:
        super().__init__(size, mask)
        library: Any = import_module("denoising_diffusion_pytorch")
        library.denoising_diffusion_pytorch.tqdm = lambda steps, **_: steps  # no bar for each batch
        self.network = library.Unet(dim=width, channels=4, out_dim=3)
        self.conditioned = _WithMaskChannel(self.network)
        self._diffusion: Callable[..., Any] = library.GaussianDiffusion
        self.diffusion = self._diffusion(self.conditioned, image_size=size)

    def loss(self, pixels: Tensor, inside: Tensor) -> Tensor:
        self.conditioned.mask = self.channel(inside)
        result: Tensor = self.diffusion(pixels / 255)
        return result

    def draw(self, inside: Tensor, steps: int) -> Tensor:
        self.conditioned.mask = self.channel(inside)
        sampler = self._diffusion(self.conditioned, image_size=self.size, sampling_timesteps=steps)
        result: Tensor = sampler.sample(batch_size=len(inside))
        return result


class Diffusers(Peer):
    """`UNet2DModel` with `DDPMScheduler`, as its script for unconditional training has them: epsilon, linear.

    Attention at the last but one of six grids, two blocks a level, channels (1, 1, 2, 2, 4, 4) times the
    width. Narrowed below 32 channels its group norm takes 8 groups instead of 32.
    """

    library = "diffusers"

    def __init__(self, size: int, mask: MaskScale, *, width: int = SIZES["diffusers"][-1]) -> None:
        super().__init__(size, mask)
        library: Any = import_module("diffusers")
        self.network = library.UNet2DModel(
            sample_size=size,
            in_channels=4,
            out_channels=3,
            layers_per_block=2,
            block_out_channels=tuple(width * m for m in (1, 1, 2, 2, 4, 4)),
            down_block_types=(*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
            norm_num_groups=32 if width % 32 == 0 else 8,
        )
        self._ancestral, self._ddim = library.DDPMScheduler(LENGTH), library.DDIMScheduler(LENGTH)

    def _predict(self, x: Tensor, mask: Tensor, time: Tensor) -> Tensor:
        noisy = torch.cat([x, mask], dim=1).contiguous(memory_format=torch.channels_last)
        return self.network(noisy, time).sample.float()  # type: ignore[no-any-return]

    def loss(self, pixels: Tensor, inside: Tensor) -> Tensor:
        clean = pixels / 127.5 - 1
        noise, time = torch.randn_like(clean), torch.randint(LENGTH, (len(clean),))
        noisy = self._ancestral.add_noise(clean, noise, time)
        return nn.functional.mse_loss(self._predict(noisy, self.channel(inside), time), noise)

    def draw(self, inside: Tensor, steps: int) -> Tensor:
        scheduler = self._ancestral if steps == LENGTH else self._ddim
        scheduler.set_timesteps(steps)
        x, mask = torch.randn(len(inside), 3, self.size, self.size), self.channel(inside)
        for time in scheduler.timesteps:
            x = scheduler.step(self._predict(x, mask, time), time, x).prev_sample
        return (x + 1) / 2


PEERS: dict[str, Callable[..., Peer]] = {"ddpm-pytorch": DdpmPytorch, "diffusers": Diffusers}


def build_peer(library: str, size: int, mask: MaskScale, *, width: int | None = None, seed: int = 0) -> Peer:
    """Build an untrained peer, at its own size where no width is given, laid out in memory as ours."""
    if library not in PEERS:
        raise InputError(f"peer {library!r}: unknown; known are {', '.join(PEERS)}")
    torch.manual_seed(torch_seed(seed, "weights"))
    peer = PEERS[library](size, mask, width=width or SIZES[library][-1])
    peer.network.to(memory_format=torch.channels_last)
    return peer


@functools.cache
def matched_width(library: str, size: int, parameters: int) -> int:
    """Return the width at which a peer has as many parameters as nearly as it can."""

    def apart(width: int) -> float:
        with torch.device("meta"):
            network = PEERS[library](size, "[-1, 1]", width=width).network
        return float(abs(np.log(sum(p.numel() for p in network.parameters()) / parameters)))

    return min(SIZES[library], key=apart)
