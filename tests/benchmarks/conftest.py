"""Tiles that the tests of the benchmarks share."""

import pytest
from tests.phantoms import phantom_tileset

from nucleosynth.data.tileset import TileSet

SIZE = 32


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = phantom_tileset(tmp_path_factory.mktemp("tiles") / "tiles", tiles=16, patients=4, size=SIZE)
        _ = made.images, made.masks
        return made
