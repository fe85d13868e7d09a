"""The shipped weights: small, different, described, better than the classical baseline."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nucleosynth.data.phantom.tissue import PhantomConfig, phantom_tiles
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.backends.learned import LearnedSegmenter
from nucleosynth.segmentation.learned.weights import CARD, WEIGHTS, shipped_weights
from nucleosynth.segmentation.segmenter import DEFAULT_SEGMENTER, MASK_JUDGE, get_segmenter

SHIPPED = (DEFAULT_SEGMENTER, MASK_JUDGE)


@pytest.fixture(params=SHIPPED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_files_are_small_and_whole(name):
    folder = files("nucleosynth.segmentation.learned") / "shipped" / name
    assert len((folder / WEIGHTS).read_bytes()) <= 4e6
    assert (folder / CARD).is_file()
    net, card = shipped_weights(name)
    assert sum(p.numel() for p in net.parameters()) == card["parameters"] <= 2e6
    assert get_segmenter(name).weights_hash == card["weights_hash"]


def test_the_card_states_data_licences_scores_and_limits(name):
    _, card = shipped_weights(name)
    assert card["recipe"] == name
    assert all(part["name"] and part["licence"] and part["nuclei"] for part in card["training"])
    assert "TNBC" not in str(card["training"])
    assert card["scores"]["tnbc"]["pq"] > 0
    assert card["limits"]
    assert card["licence"]


def test_maker_and_mask_judge_share_neither_weights_nor_pictures():
    maker, judge = (shipped_weights(name)[1] for name in SHIPPED)
    assert maker["weights_hash"] != judge["weights_hash"]
    assert maker["recipe"] != judge["recipe"]
    assert maker["seed"] != judge["seed"]
    names = [{part["name"] for part in card["training"]} for card in (maker, judge)]
    assert not names[0] & names[1]
    assert names[1] == {"CoNSeP, test images"}


def phantom() -> tuple[np.ndarray, np.ndarray]:
    rows = list(phantom_tiles(PhantomConfig(tiles=24, patients=12), size=128, mpp=0.5))
    return np.stack([row.image for row in rows]), np.stack([row.mask for row in rows])


def f1_on_phantom(name: str) -> float:
    images, masks = phantom()
    found = mask_agreement(get_segmenter(name)(images, 0.5), masks)
    return float(found["f1"] or 0)


@pytest.mark.slow
def test_drawn_nuclei_are_found_better_than_by_colour():
    """Neither network was trained on drawn tissue, and the classical one is at its best there."""
    embedded, judge, classical = (f1_on_phantom(name) for name in (*SHIPPED, "classical"))
    assert embedded > max(0.85, classical)
    assert judge > 0.75


@pytest.mark.slow
def test_a_frame_processed_in_tiles_gives_the_nuclei_of_the_whole(name):
    images, _ = phantom()
    frame = np.concatenate([np.concatenate(images[:3], 1), np.concatenate(images[3:6], 1)])[:, :380]
    net, _ = shipped_weights(name)
    whole = LearnedSegmenter(name, net, tile=512)(frame[None], 0.4)
    tiled = LearnedSegmenter(name, net, tile=96)(frame[None], 0.4)
    assert whole.max() > 30
    assert np.array_equal(whole, tiled)


@pytest.mark.slow
def test_scales_agree(name):
    """The same tissue at twice the px gives the same nuclei: mpp is honoured."""
    images, _ = phantom()
    fine = images.repeat(2, axis=1).repeat(2, axis=2)
    segmenter = get_segmenter(name)
    scores = mask_agreement(segmenter(fine, 0.25)[:, ::2, ::2], segmenter(images, 0.5))
    assert scores["f1"] > 0.9
    assert scores["iou"] > 0.9


@pytest.mark.real
@pytest.mark.slow
def test_tnbc_against_the_classical_baseline(real_data: Callable[[str], Path]) -> None:
    from benchmarks.segmentation import accuracy, read_tnbc

    scores = accuracy(*read_tnbc(real_data("tnbc").parent))
    pq = {name: scores[name]["all"]["pq"] for name in scores}
    assert pq["embedded"] > 1.3 * pq["classical"]
    assert pq["judge"] > pq["classical"]
    assert scores["embedded"]["all"]["f1"] > 0.75
