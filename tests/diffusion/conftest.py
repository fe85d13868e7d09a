"""Fixtures of the diffusion core's tests."""

from __future__ import annotations

import pytest
from tests.phantoms import phantom_tileset


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Small phantom tiles, their pixels read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = phantom_tileset(tmp_path_factory.mktemp("tiles") / "tiles")
        _ = made.images, made.masks
        return made
