"""Fixtures of all tests: a cache of their own, and real tissue where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the pixel cache of each test in a directory of its own."""
    monkeypatch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))


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
