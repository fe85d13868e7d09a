"""Shared by all tests: workers, own cache and access log, layouts of drawn tissue, real tissue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tests are small, and workers share the cores
MOST_WORKERS = 8
"""Each needs about 1 GB."""

settings.register_profile(  # the same examples in every run, and no seconds: workers share the cores
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

if TYPE_CHECKING:
    from nucleosynth.data.tileset import TileSet
    from nucleosynth.layouts.model import LayoutModel


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker per core for all tests; none for tests that are named, which are over before workers start."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hand modules with slow tests to the workers first: none is left alone with one at the end."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _own_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the looks of fixtures out of the user's ledger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the pixel cache and the ledger of each test in directories of its own."""
    monkeypatch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("NUCLEOSYNTH_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Return ``real_data(name)``: a folder below NUCLEOSYNTH_DATA.

    Skips the test where it is absent, saying why; under continuous integration (CI is set) it fails instead.
    """

    def folder(name: str) -> Path:
        root = os.environ.get("NUCLEOSYNTH_DATA")
        path = Path(root or "") / name
        if root and path.is_dir():
            return path
        reason = f"real data: {path} is absent" if root else f"real data {name}: NUCLEOSYNTH_DATA is not set"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; continuous integration must have it")
        pytest.skip(reason)

    return folder


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    """Small phantom tiles, their pixels read once; modules that need others have their own."""
    from tests.phantoms import phantom_tileset

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = phantom_tileset(tmp_path_factory.mktemp("tiles") / "tiles")
        _ = made.images, made.masks
        return made


@pytest.fixture(scope="session")
def layout_tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    """Phantom tiles with nuclei enough to learn layouts from."""
    from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
    from nucleosynth.data.tileset import write_tileset

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        rows = phantom_tiles(PhantomConfig(tiles=280, patients=8), size=64, mpp=0.75)
        made = write_tileset(tmp_path_factory.mktemp("tiles") / "tiles", rows, classes=CLASSES, ordinal=True)
        _ = made.images, made.masks
        return made


@pytest.fixture(scope="session")
def layout_model(layout_tiles: TileSet) -> LayoutModel:
    """A model of the first six of their eight patients."""
    from nucleosynth.layouts import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_TRIAL", 100)
        return fit.fit_layouts(layout_tiles, [f"phantom:p{i:02d}" for i in range(6)], rounds=5)
