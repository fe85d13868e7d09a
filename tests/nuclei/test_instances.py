"""Instance scores: by hand, against a slow implementation and against cellseg-metrics, and their laws."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.nuclei.instances import instance_scores, number_nuclei, overlaps


@pytest.fixture
def cellseg_metrics() -> ModuleType:
    return pytest.importorskip("cellseg_metrics", reason="needs a newer numpy than the lowest")


NAMES = ("aji", "pq", "dq", "sq", "f1", "precision", "recall", "ap")


def discs(seed: int, *, tiles: int = 3, size: int = 48, count: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """Two label images per tile, discs of the second moved, resized, dropped and added; labels with gaps."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    pair = np.zeros((2, tiles, size, size), np.uint16)
    for tile in range(tiles):
        for label in draw.permutation(np.arange(1, 60))[:count]:
            cy, cx, radius = *draw.uniform(0, size, 2), draw.uniform(2, 7)
            for side, scatter in enumerate((0.0, 1.2)):
                if draw.random() < 0.9:
                    py, px, reach = draw.normal((cy, cx, radius), scatter)
                    pair[side, tile][(y - py) ** 2 + (x - px) ** 2 < max(reach, 1) ** 2] = label + 7 * side
    return pair[0], pair[1]


def scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float | None]:
    return dict(instance_scores([overlaps(number_nuclei(predicted), number_nuclei(true))]))


def slow_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The definitions, nucleus by nucleus."""
    ours = [(t, p == v) for t, p in enumerate(predicted) for v in np.unique(p[p > 0])]
    theirs = [(t, p == v) for t, p in enumerate(true) for v in np.unique(p[p > 0])]
    iou = np.zeros((len(theirs), len(ours)))
    for i, (here, a) in enumerate(theirs):
        for j, (there, b) in enumerate(ours):
            iou[i, j] = (a & b).sum() / (a | b).sum() if here == there else 0.0
    found = {t: (iou > t / 20).sum() for t in range(10, 20)}
    matched = found[10]
    shared = joined = 0
    taken = set()
    for i, (_, a) in enumerate(theirs):
        j = iou[i].argmax()
        best = ours[j][1] if iou[i, j] else np.zeros_like(a)
        shared, joined = shared + (a & best).sum(), joined + (a | best).sum()
        taken |= {j} if iou[i, j] else set()
    joined += sum(b.sum() for j, (_, b) in enumerate(ours) if j not in taken)
    f1 = 2 * matched / (len(ours) + len(theirs))
    sq = iou[iou > 0.5].mean()
    return {
        "aji": shared / joined, "pq": f1 * sq, "dq": f1, "sq": sq, "f1": f1,
        "precision": matched / len(ours), "recall": matched / len(theirs),
        "ap": np.mean([tp / (len(ours) + len(theirs) - tp) for tp in found.values()]),
    }  # fmt: skip


def test_by_hand() -> None:
    true = np.array([[[1, 1, 1, 1, 0, 9, 9, 0]], [[0, 0, 0, 2, 2, 0, 0, 0]]])
    predicted = np.array([[[4, 4, 4, 0, 0, 0, 3, 3]], [[0, 0, 0, 0, 0, 0, 5, 5]]])
    found = scores(predicted, true)
    # One match (3 of 4 px) among 3 true and 3 predicted nuclei; IoU of the second pair is 1/3.
    assert found["f1"] == found["dq"] == pytest.approx(1 / 3)
    assert (found["precision"], found["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found["sq"] == pytest.approx(0.75)
    assert found["pq"] == pytest.approx(0.25)
    assert found["aji"] == pytest.approx((3 + 1) / (4 + 3 + 2 + 2))  # the last two: missed, spurious
    assert found["ap"] == pytest.approx(5 / 10 * 1 / 5)  # 0.75 is above 0.50 to 0.70


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    true, predicted = np.array([[[1, 1, 1, 1, 0, 7]]]), np.array([[[1, 1, 0, 0, 0, 7]]])
    assert scores(predicted, true)["recall"] == 0.5


def test_two_true_nuclei_may_take_the_same_predicted_one_in_aji() -> None:
    true, predicted = np.array([[[1, 1, 2, 2]]]), np.array([[[3, 3, 3, 3]]])
    assert scores(predicted, true)["aji"] == pytest.approx((2 + 2) / (4 + 4))


@pytest.mark.parametrize("seed", range(4))
def test_the_slow_way_gives_the_same(seed: int) -> None:
    predicted, true = discs(seed)
    assert scores(predicted, true) == pytest.approx(slow_scores(predicted, true))


@pytest.mark.parametrize("seed", range(4))
def test_cellseg_metrics_gives_the_same(cellseg_metrics: ModuleType, seed: int) -> None:
    """Tiles side by side are one picture: pooling over tiles is the score of that picture."""
    predicted, true = (number_nuclei(masks).ids for masks in discs(seed))
    found = scores(predicted, true)
    one, two = (np.concatenate(list(ids), axis=1) for ids in (true, predicted))
    panoptic = cellseg_metrics.panoptic_quality(one, two)
    assert {name: found[name] for name in ("pq", "sq", "dq")} == pytest.approx(panoptic, rel=1e-6)
    precision = cellseg_metrics.average_precision(one, two)  # TP / (TP + FP), in spite of its name
    assert found["precision"] == pytest.approx(precision, rel=1e-6)


def test_cellseg_metrics_gives_the_same_aji_where_the_largest_overlap_is_the_best(
    cellseg_metrics: ModuleType,
) -> None:
    compared = 0
    for seed in range(30):
        predicted, true = discs(seed, tiles=1, count=8)
        pairs = overlaps(number_nuclei(predicted), number_nuclei(true))
        nuclei = range(len(pairs.true_area))
        of = [pairs.shared * (pairs.true == i) for i in nuclei]
        by_iou = [(shared / pairs.union).argmax() for shared in of]
        tied = any((shared == shared.max()).sum() > 1 for shared in of)
        if by_iou != [shared.argmax() for shared in of] or tied:
            continue  # it takes the largest overlap, Kumar et al. the largest IoU
        compared += 1
        expected = cellseg_metrics.aggregated_jaccard_index(true[0].astype(int), predicted[0].astype(int))
        assert scores(predicted, true)["aji"] == pytest.approx(expected, rel=1e-6)
    assert compared >= 4


def test_equal_masks_agree_wholly_and_empty_ones_too() -> None:
    _, true = discs(0)
    perfect = dict.fromkeys(NAMES, 1.0)
    assert scores(true, true) == perfect
    nothing = np.zeros_like(true)
    assert scores(nothing, nothing) == perfect
    assert scores(nothing, true) == scores(true, nothing) == dict.fromkeys(NAMES, 0.0)
    assert instance_scores([]) == dict.fromkeys(NAMES)


def test_numbers_of_the_labels_do_not_matter() -> None:
    predicted, true = discs(1)
    other = np.random.default_rng(0).permutation(np.arange(1, 70))
    renamed = np.where(predicted > 0, np.concatenate([[0], other])[predicted], 0)
    assert scores(renamed, true) == scores(predicted, true)


def test_nuclei_are_counted_through_and_keep_tile_label_and_area() -> None:
    masks = np.array([[[9, 9], [0, 2]], [[0, 0], [0, 0]], [[2, 0], [0, 2]]])
    nuclei = number_nuclei(masks)
    assert nuclei.ids.tolist() == [[[2, 2], [0, 1]], [[0, 0], [0, 0]], [[3, 0], [0, 3]]]
    assert (nuclei.tile.tolist(), nuclei.label.tolist()) == ([0, 0, 2], [2, 9, 2])
    assert nuclei.area.tolist() == [1, 2, 2]
    last = nuclei.of_tiles(np.array([False, True, True]))
    assert (last.ids[1].tolist(), last.tile.tolist(), last.area.tolist()) == ([[1, 0], [0, 1]], [1], [2])


@pytest.mark.parametrize("value", [True, 1, 255])
def test_components_of_binary_masks_are_nuclei_and_corners_do_not_connect(value: int) -> None:
    masks = np.array([[[1, 1, 0], [0, 0, 1]], [[0, 1, 1], [0, 0, 0]]]) * value
    nuclei = number_nuclei(masks.astype(bool) if value is True else masks)
    assert nuclei.ids.tolist() == [[[1, 1, 0], [0, 0, 2]], [[0, 3, 3], [0, 0, 0]]]
    assert nuclei.label.tolist() == [1, 2, 1]


def test_the_chance_level_compares_each_tile_with_another_of_its_patient() -> None:
    predicted, true = discs(2, tiles=4)
    groups = ["a", "b", "a", "b"]
    found = mask_agreement(predicted, true, groups=groups)["chance"]
    exchanged = scores(predicted, true[[2, 3, 0, 1]])  # two tiles can be exchanged in one way only
    assert {name: found[name] for name in NAMES} == pytest.approx(exchanged)


def test_the_chance_level_is_near_the_mean_over_all_other_tiles() -> None:
    predicted, true = discs(3, tiles=6)
    every = [overlaps(number_nuclei(predicted), number_nuclei(np.roll(true, k, axis=0))) for k in range(1, 6)]
    found = mask_agreement(predicted, true)["chance"]
    assert found["aji"] == pytest.approx(instance_scores(every)["aji"], abs=0.03)
    assert mask_agreement(predicted, true, seed=1)["chance"]["aji"] == pytest.approx(found["aji"], abs=0.03)
    assert mask_agreement(predicted, true)["chance"] == found


def test_masks_of_fractions_are_refused() -> None:
    with pytest.raises(InputError, match="float64; expected labels"):
        number_nuclei(np.zeros((1, 4, 4)))
