"""Laws of the tiles in which a network sees a large picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nucleosynth.segmentation.learned.inference import _tiles

STRIDES = st.sampled_from([1, 2, 8])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 30), STRIDES)
def test_every_pixel_is_kept_once_and_seen_with_all_that_reaches_it(high, wide, side, reach, stride):
    shape, tile = (high * stride, wide * stride), side * stride
    kept_times = np.zeros(shape, int)
    for kept, seen in _tiles(shape, tile, reach, stride):
        kept_times[kept] += 1
        for inner, outer, whole in zip(kept, seen, shape, strict=True):
            assert outer.start % stride == 0
            assert 0 <= outer.start <= inner.start < inner.stop <= outer.stop <= whole
            assert outer.start in (0, inner.start - -(-reach // stride) * stride)
            assert outer.start == 0 or inner.start - outer.start >= reach
            assert outer.stop == whole or outer.stop - inner.stop >= reach
    assert (kept_times == 1).all()
