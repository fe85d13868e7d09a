"""Learned segmenters: whole frames give what their tiles give, at any scale, whatever the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.nuclei.drawn import disc_labels, painted, scattered

from nucleosynth.errors import InputError
from nucleosynth.segmentation.backends.learned import LearnedSegmenter
from nucleosynth.segmentation.learned.config import NETWORKS
from nucleosynth.segmentation.learned.inference import from_network, network_maps
from nucleosynth.segmentation.learned.network import SegmenterNet, build_network
from nucleosynth.segmentation.learned.watershed import Cut
from nucleosynth.segmentation.scale import resample_images
from nucleosynth.segmentation.segmenter import segment

CPU = torch.device("cpu")
FRAME = painted(disc_labels(scattered(1, count=80, side=120), radius=3.5, size=250))[:, :230]


@pytest.fixture(scope="module", params=NETWORKS)
def net(request: pytest.FixtureRequest) -> SegmenterNet:
    """A network of random weights whose maps use the whole range."""
    torch.manual_seed(1)
    made = build_network(request.param)
    for _ in range(20):
        made.maps(torch.randn(2, 3, 64, 64))
    with torch.no_grad():
        made.head.weight.mul_(4)
    return made.fold()


def random_cut(net: SegmenterNet, frame: np.ndarray, mpp: float) -> Cut:
    """Thresholds within the range of a random network's maps, where any difference would show."""
    maps = network_maps(net, resample_images(frame[None], mpp, to=0.5), device=CPU)[0]
    nucleus, core = from_network(maps, frame.shape[:2])
    inside = nucleus > np.median(nucleus)
    levels = {"nucleus": np.median(nucleus) / 255, "core": np.quantile(core[inside], 0.7) / 255}
    return Cut(**levels, blur=0.01, least_seed=0, least_area=0)


@pytest.mark.slow
def test_stitched_maps_are_those_of_the_whole_frame(net):
    whole = network_maps(net, FRAME[None], device=CPU, tile=512)
    for tile in (64, 96):
        stitched = network_maps(net, FRAME[None], device=CPU, tile=tile)
        assert np.abs(whole.astype(int) - stitched).max() <= 1  # grey levels: rounding of the last bit
        assert (whole != stitched).mean() < 1e-3
    assert whole.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 1.0])
def test_tile_segment_stitch_is_segment_whole(net, mpp):
    frame = FRAME[: round(125 / mpp), : round(115 / mpp)]
    cut = random_cut(net, frame, mpp)
    whole = LearnedSegmenter("test", net, tile=1024, cut=cut)(frame[None], mpp)
    tiled = LearnedSegmenter("test", net, tile=64, cut=cut)(frame[None], mpp)
    assert whole.max() > 3
    assert np.array_equal(whole, tiled)


def test_a_tile_with_margin_agrees_with_the_frame(net):
    """What a tile cut from a frame sees beyond its reach decides nothing."""
    top, left, size = 48, 40, 176
    tile = FRAME[top : top + size, left : left + size]
    whole = network_maps(net, FRAME[None], device=CPU)[0, :, top : top + size, left : left + size]
    alone = network_maps(net, tile[None], device=CPU)[0]
    inner = np.s_[:, net.reach : size - net.reach, net.reach : size - net.reach]
    assert np.abs(whole[inner].astype(int) - alone[inner]).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (33, 64), (64, 31)])
@pytest.mark.parametrize("mpp", [0.1, 0.25, 0.5, 2.0])
def test_any_shape_comes_back(net, shape, mpp):
    found = LearnedSegmenter("test", net)(FRAME[None, : shape[0], : shape[1]], mpp)
    assert found.shape == (1, *shape)
    assert found.dtype == np.int32


def test_pictures_of_one_colour_are_empty_amid_others(net):
    tiles = np.stack([np.full((64, 64, 3), 255, np.uint8), FRAME[:64, :64], np.zeros((64, 64, 3), np.uint8)])
    found = LearnedSegmenter("test", net)(tiles, 0.5)
    assert not found[0].any()
    assert not found[2].any()
    assert np.array_equal(found[1], LearnedSegmenter("test", net)(tiles[1:2], 0.5)[0])


def test_maps_go_to_the_grid_of_the_picture():
    maps = np.zeros((2, 8, 8), np.uint8)
    maps[0, 2:4, 4:6] = 255
    back = from_network(maps, (16, 16))
    assert back.shape == (2, 16, 16)
    assert np.argwhere(back[0] == 255).min(0).tolist() == [4, 8] or back[0, 5, 9] == 255
    assert not back[1].any()
    assert from_network(maps, (8, 8)) is maps


@pytest.mark.parametrize("mpp", [0.05, 3.0])
def test_scales_without_nuclei_are_refused(net, mpp):
    with pytest.raises(InputError, match=r"works at 0\.1 to 2 µm/px"):
        segment(FRAME[None], mpp, backend=LearnedSegmenter("test", net))
