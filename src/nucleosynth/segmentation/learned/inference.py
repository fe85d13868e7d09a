"""Maps from pixels: tile by tile at the network's scale, then resampled to the picture's grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.backbones.inputs import to_input
from nucleosynth.segmentation.learned.network import SegmenterNet
from nucleosynth.training.devices import autocast

TILE = 512
"""Edge, in px of 0.5 µm, of the part of a frame that the network processes at once, without margins."""
BATCH_PIXELS = 2**16  # what fits a core's cache is fastest


def network_maps(
    net: SegmenterNet, images: NDArray[np.uint8], *, device: torch.device, tile: int = TILE
) -> NDArray[np.uint8]:
    """Compute the maps of pictures at the network's scale, in bounded memory.

    A picture larger than ``tile`` is processed in tiles that overlap by more than the network's reach; only
    the parts beyond the influence of borders are kept, so the maps equal those of the whole picture.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB at 0.5 µm/px.
    tile
        Largest edge processed at once, px; a multiple of the network's stride.

    Returns
    -------
    (n, 2, h, w) uint8
        `nucleus` and `core`, 255 = 1.
    """
    n, height, width, _ = images.shape
    spare = tuple((0, -side % net.stride) for side in (height, width))
    whole = np.pad(images, ((0, 0), *spare, (0, 0)), mode="symmetric") if np.any(spare) else images
    maps = np.zeros((n, 2, *whole.shape[1:3]), np.uint8)
    for kept, window in _tiles(whole.shape[1:3], tile, net.reach, net.stride):
        rows, columns = window
        size = (rows.stop - rows.start) * (columns.stop - columns.start)
        step = max(1, BATCH_PIXELS // size)
        inner = tuple(slice(k.start - s.start, k.stop - s.start) for k, s in zip(kept, window, strict=True))
        for start in range(0, n, step):
            batch = np.ascontiguousarray(whole[start : start + step, rows, columns])
            found = _run(net, batch, device)
            maps[start : start + step, :, kept[0], kept[1]] = found[:, :, inner[0], inner[1]]
    return maps[:, :, :height, :width]


def mirrored_maps(
    net: SegmenterNet, images: NDArray[np.uint8], *, device: torch.device, tile: int = TILE
) -> NDArray[np.uint8]:
    """Average the maps of pictures and of their mirror images: `network_maps` at twice the cost."""
    upside_down = np.ascontiguousarray(images[:, ::-1])
    plain, mirrored = (network_maps(net, x, device=device, tile=tile) for x in (images, upside_down))
    return ((plain.astype(np.uint16) + mirrored[:, :, ::-1] + 1) // 2).astype(np.uint8)


def from_network(maps: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample the (2, h', w') maps of one picture to its own grid of ``shape``, bilinearly."""
    if maps.shape[1:] == shape:
        return maps
    back = F.interpolate(torch.from_numpy(maps[None]).float(), size=shape, mode="bilinear")[0]
    return back.round_().to(torch.uint8).numpy()


def _run(net: SegmenterNet, pixels: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Compute maps; on a CPU in float32: bfloat16 differs by grey levels from one processor to the next."""
    precision = nullcontext() if device.type == "cpu" else autocast(device)
    with torch.inference_mode(), precision:
        maps: Tensor = net.maps(to_input(pixels).to(device))
    return (maps.float() * 255).round_().to(torch.uint8).cpu().numpy()


Window = tuple[slice, slice]


def _tiles(shape: tuple[int, int], tile: int, reach: int, stride: int) -> Iterator[tuple[Window, Window]]:
    """Yield the windows to keep and to process of each tile; corners lie on multiples of the stride."""
    margin = -(-reach // stride) * stride
    for top in range(0, shape[0], tile):
        for left in range(0, shape[1], tile):
            kept = slice(top, min(top + tile, shape[0])), slice(left, min(left + tile, shape[1]))
            window = tuple(
                slice(max(0, part.start - margin), min(side, part.stop + margin))
                for part, side in zip(kept, shape, strict=True)
            )
            yield kept, (window[0], window[1])
