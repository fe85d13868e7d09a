"""Learned segmenters: small networks of the package, or trained with `train segmenter`."""

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
    """A segmenter by a network and a watershed on its maps.

    Frames of any size are accepted: the network processes them tile by tile, the maps are joined, and nuclei
    are cut once, so no tile border runs through them.

    Parameters
    ----------
    name
        Name in reports.
    net
        Folded network, see `SegmenterNet.fold`.
    tile
        Largest edge that the network processes at once, px of 0.5 µm; memory depends on it, not the result.
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
            Scale in µm/px, 0.1 to 2: the network works at 0.5, and its maps are resampled to this scale.

        Returns
        -------
        (n, h, w) int32
            0 = background, 1..k per tile.

        Raises
        ------
        InputError
            `mpp` is missing or impossible, or images have another shape or dtype.
        """
        scale = checked_mpp(mpp)
        check_scale(scale)
        n, height, width, _ = checked_images(images).shape
        labels = np.zeros((n, height, width), np.int32)
        if not labels.size:
            return labels
        plain = images.reshape(n, -1, 3)
        varied = np.flatnonzero((plain != plain[:, :1]).any((1, 2)))  # a single colour has no nuclei
        if not len(varied):
            return labels
        scaled = resample_images(images[varied], scale, to=NETWORK_MPP)
        compute = mirrored_maps if self._net.mirrored else network_maps
        maps = compute(self._net, scaled, device=self._device, tile=self._tile)
        for index, one in zip(varied, maps, strict=True):
            whole = from_network(one, (height, width))
            labels[index] = cut_nuclei(whole, scale, cut=self._cut)
        return labels


def embedded() -> LearnedSegmenter:
    """Return the default segmenter for making masks: trained on CoNSeP's training images and DSB-2018."""
    return LearnedSegmenter("embedded", shipped_weights("embedded")[0])


def judge() -> LearnedSegmenter:
    """Return the mask judge: another architecture, trained only on CoNSeP's test images."""
    return LearnedSegmenter("judge", shipped_weights("judge")[0])


def trained(directory: str) -> LearnedSegmenter:
    """Return the segmenter that `nucleosynth train segmenter` wrote into a ``weights`` directory."""
    net, card = load_weights(Path(directory))
    return LearnedSegmenter(str(card["recipe"]), net)
