"""Nuclei numbered over all tiles and their overlaps, against counting one pixel after another."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nucleosynth.nuclei.instances import number_nuclei, overlaps

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
LABELS = st.integers(0, 4) | st.sampled_from([9, 60_000])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw two stacks of label images of one shape."""
    shape = draw(SHAPES)
    return draw(arrays(np.int64, shape, elements=LABELS)), draw(arrays(np.int64, shape, elements=LABELS))


def counted(masks: np.ndarray) -> Counter[tuple[int, int]]:
    """Return the area of each nucleus, by tile and label."""
    return Counter((place[0], int(masks[place])) for place in np.ndindex(masks.shape) if masks[place])


@given(pairs())
def test_nuclei_are_numbered_in_order_of_tile_and_label_with_their_areas(two):
    masks, _ = two
    found = number_nuclei(masks, binary=False)
    expected = sorted(counted(masks).items())
    assert list(zip(found.tile.tolist(), found.label.tolist(), strict=True)) == [key for key, _ in expected]
    assert found.area.tolist() == [area for _, area in expected]
    assert np.array_equal(found.ids == 0, masks == 0)
    for number, (tile, label) in enumerate(zip(found.tile, found.label, strict=True), start=1):
        assert np.array_equal(
            found.ids == number, (masks == label) & (np.arange(len(masks)) == tile)[:, None, None]
        )


@given(pairs())
def test_overlaps_are_those_of_a_count_pixel_by_pixel(two):
    one, other = (number_nuclei(masks, binary=False) for masks in two)
    expected: Counter[tuple[int, int]] = Counter()
    for place in np.ndindex(one.ids.shape):
        if one.ids[place] and other.ids[place]:
            expected[int(one.ids[place]) - 1, int(other.ids[place]) - 1] += 1
    found = overlaps(one, other)
    keys = zip(found.predicted.tolist(), found.true.tolist(), strict=True)
    assert dict(zip(keys, found.shared.tolist(), strict=True)) == dict(expected)
    assert found.predicted_area.tolist() == one.area.tolist()
    assert found.true_area.tolist() == other.area.tolist()
    assert (found.union >= found.shared).all()


@given(pairs())
def test_overlaps_are_the_same_from_both_sides(two):
    one, other = (number_nuclei(masks, binary=False) for masks in two)
    there, back = overlaps(one, other), overlaps(other, one)
    assert sorted(
        zip(there.predicted.tolist(), there.true.tolist(), there.shared.tolist(), strict=True)
    ) == sorted(zip(back.true.tolist(), back.predicted.tolist(), back.shared.tolist(), strict=True))


@given(arrays(np.bool_, SHAPES))
def test_touching_pixels_of_binary_masks_are_one_nucleus_and_tiles_are_apart(masks):
    found = number_nuclei(masks)
    assert np.array_equal(found.ids > 0, masks)
    for axis in (1, 2):  # never from one tile to the next
        first, second = np.split(found.ids, [1], axis=axis)[1], np.delete(found.ids, -1, axis=axis)
        both = (first > 0) & (second > 0)
        assert np.array_equal(first[both], second[both])
    for number, tile in enumerate(found.tile, start=1):
        assert set(np.nonzero(found.ids == number)[0].tolist()) == {int(tile)}


@given(pairs(), st.data())
def test_nuclei_of_some_tiles_are_those_of_the_tiles_alone(two, data):
    masks, _ = two
    keep = data.draw(arrays(np.bool_, len(masks)))
    part, alone = number_nuclei(masks, binary=False).of_tiles(keep), number_nuclei(masks[keep], binary=False)
    for name in ("ids", "area", "tile", "label"):
        assert np.array_equal(getattr(part, name), getattr(alone, name)), name
