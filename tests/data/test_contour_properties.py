"""Laws of nuclei drawn from contours, whatever their size, shape and place."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nucleosynth.data.contours import MIN_AREA, Contours, rasterise

SIZE = 24
NUCLEI = st.lists(
    st.tuples(
        st.floats(-4, 28), st.floats(-4, 28),  # centre; it may lie outside
        st.floats(0.3, 9), st.floats(1, 2.5), st.floats(-3.2, 3.2),
        st.floats(0, 0.15), st.floats(-3.2, 3.2),
    ),
    max_size=6,
)  # fmt: skip
SCALES = st.sampled_from([0.5, 1.0, 2.0])


def contours(rows: list[tuple[float, ...]]) -> Contours:
    x, y, radius, aspect, angle, bend, phase = np.array(rows, float).reshape(-1, 7).T
    contour = (bend * np.exp(1j * phase))[:, None]
    return Contours.of(x=x, y=y, radius=radius, aspect=aspect, angle=angle, contour=contour)


@given(NUCLEI, SCALES)
def test_instances_are_numbered_through_and_none_is_a_sliver(rows, mpp):
    mask, pixels = rasterise(contours(rows), size=SIZE, mpp=mpp)
    numbers, areas = np.unique(mask[mask > 0], return_counts=True)
    assert numbers.tolist() == list(range(1, len(pixels.nuclei) + 1))
    assert (areas >= MIN_AREA).all()


@given(NUCLEI, SCALES)
def test_each_pixel_has_one_owner_and_the_mask_is_what_lies_inside(rows, mpp):
    mask, pixels = rasterise(contours(rows), size=SIZE, mpp=mpp)
    assert len(np.unique(pixels.flat)) == len(pixels.flat)
    inside = pixels.depth > 0
    assert np.array_equal(np.sort(pixels.flat[inside]), np.flatnonzero(mask))
    assert np.array_equal(mask.ravel()[pixels.flat[inside]], pixels.owner[inside] + 1)


@given(NUCLEI)
def test_order_does_not_change_what_is_covered(rows):
    """Slivers apart, of which the one that is left out may hide another."""
    mask, _ = rasterise(contours(rows), size=SIZE, mpp=1.0)
    turned, _ = rasterise(contours(rows[::-1]), size=SIZE, mpp=1.0)
    assert mask.max() == turned.max()
    assert np.array_equal(np.sort(np.bincount(mask.ravel())), np.sort(np.bincount(turned.ravel())))


@given(st.floats(6, 18), st.floats(6, 18), st.floats(2, 5))
def test_a_circle_covers_its_area(x, y, radius):
    mask, _ = rasterise(contours([(x, y, radius, 1, 0, 0, 0)]), size=SIZE, mpp=1.0)
    area, edge = np.pi * radius**2, 2 * np.pi * radius
    assert abs(int((mask > 0).sum()) - area) <= 0.5 * edge + 1
