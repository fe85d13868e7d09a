"""Fixtures of all tests: workers, own cache and access log, layouts of drawn tissue, real tissue."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """Keep the test-set accesses of fixtures out of the user's access log."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def _places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Number directories of a test's own: `mktemp` looks through all that there are, at every test."""
    root = tmp_path_factory.mktemp("own")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_cache(_places: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the pixel cache and the access log of each test in directories of its own."""
    place = next(_places)
    for kind in ("CACHE", "STATE"):
        (place / kind).mkdir(parents=True)
        monkeypatch.setenv(f"NUCLEOSYNTH_{kind}", str(place / kind))


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


@contextmanager
def _shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """Open the directory of all workers for one of them alone: the first makes what the others open."""
    root = tmp_path_factory.getbasetemp()
    place = (root if worker_id == "master" else root.parent) / "shared"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(place / "cache"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


@pytest.fixture(scope="session")
def layout_tiles(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TileSet:
    """Phantom tiles with nuclei enough to learn layouts from."""
    from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
    from nucleosynth.data.tileset import TileSet, write_tileset

    with _shared(tmp_path_factory, worker_id) as place:
        if not (place / "tiles").exists():
            rows = phantom_tiles(PhantomConfig(tiles=280, patients=8), size=64, mpp=0.75)
            write_tileset(place / "tiles", rows, classes=CLASSES, ordinal=True)
        made = TileSet.open(place / "tiles")
        _ = made.images, made.masks
        return made


@pytest.fixture(scope="session")
def layout_model(
    layout_tiles: TileSet, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> LayoutModel:
    """A model of the first six of their eight patients; a rough one, in seconds."""
    from nucleosynth.layouts import fit
    from nucleosynth.layouts.model import LayoutModel

    with _shared(tmp_path_factory, worker_id) as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_TRIAL", 40)
        path = place / "layouts.json"
        if not path.exists():
            fit.fit_layouts(layout_tiles, [f"phantom:p{i:02d}" for i in range(6)], rounds=3).save(path)
        return LayoutModel.load(path)
