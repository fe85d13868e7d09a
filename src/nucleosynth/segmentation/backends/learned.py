"""Nuclei by a small network that comes with the package, or by one trained with `train segmenter`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nucleosynth.backbones.weights import weights_hash
from nucleosynth.data.arrays import checked_images, checked_mpp
from nucleosynth.segmentation.learned.config import NETWORK_MPP
from nucleosynth.segmentation.learned.inference import TILE, from_network, mirrored_maps, network_maps
from nucleosynth.segmentation.learned.network import SegmenterNet
from nucleosynth.segmentation.learned.watershed import Cut, cut_nuclei
from nucleosynth.segmentation.learned.weights import load_weights, shipped_weights
from nucleosynth.segmentation.scale import check_scale, resample_images
from nucleosynth.training.devices import choose_device


class LearnedSegmenter:
    """A network, and the watershed on its maps.

    Frames of any size are taken: the network sees them tile by tile, the maps are put together, and nuclei
    are cut once, so no border runs through them.

    Parameters
    ----------
    name
        What reports print.
    net
        Folded network, see `SegmenterNet.fold`.
    tile
        Largest side that the network sees at once, px of 0.5 µm; memory depends on it, the result does not.
    """

    def __init__(
        self,
        name: str,
        net: SegmenterNet,
        *,
        device: torch.device | None = None,
        tile: int = TILE,
        cut: Cut | None = None,
    ) -> None:
        self.name = name
        self._device = device or choose_device()
        self._net = net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._tile = tile
        self._cut = cut or net.cut

    @cached_property
    def weights_hash(self) -> str:
        """Short hash of the network's weights."""
        return weights_hash(self._net)

    def __call__(self, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Label nuclei.

        Parameters
        ----------
        images : (n, h, w, 3) uint8
            RGB tiles or whole frames.
        mpp : float
            Scale in µm/px, 0.1 to 2: the network sees all at 0.5, its maps are brought back to this.

        Returns
        -------
        (n, h, w) int32
            0 = background, 1..k per tile.

        Raises
        ------
        InputError
            For a missing or impossible `mpp`, or images of another shape or dtype.
        """
        scale = checked_mpp(mpp)
        check_scale(scale)
        n, height, width, _ = checked_images(images).shape
        labels = np.zeros((n, height, width), np.int32)
        if not labels.size:
            return labels
        plain = images.reshape(n, -1, 3)
        told = np.flatnonzero((plain != plain[:, :1]).any((1, 2)))  # one even colour holds nothing
        if not len(told):
            return labels
        seen = resample_images(images[told], scale, to=NETWORK_MPP)
        compute = mirrored_maps if self._net.mirrored else network_maps
        maps = compute(self._net, seen, device=self._device, tile=self._tile)
        for index, one in zip(told, maps, strict=True):
            whole = from_network(one, (height, width))
            labels[index] = cut_nuclei(whole, scale, cut=self._cut)
        return labels


def embedded() -> LearnedSegmenter:
    """Return the segmenter that makes masks: trained on CoNSeP's training images and DSB-2018."""
    return LearnedSegmenter("embedded", shipped_weights("embedded")[0])


def judge() -> LearnedSegmenter:
    """Return the one that scores them: another architecture, trained on CoNSeP's test images alone."""
    return LearnedSegmenter("judge", shipped_weights("judge")[0])


def trained(directory: str) -> LearnedSegmenter:
    """Return the segmenter that `nucleosynth train segmenter` wrote into a ``weights`` directory."""
    net, card = load_weights(Path(directory))
    return LearnedSegmenter(str(card["recipe"]), net)
