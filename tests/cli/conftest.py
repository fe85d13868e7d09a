"""Fixtures of the commands: what a refusal must look like, and small data to ask with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.pairs import write_pairs
from tests.phantoms import phantom_tileset

from nucleosynth.cli import main
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tileset import TileSet

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Refused]:
    """Run a command that must be refused: one line, the exit code, and no file changed or left behind."""

    def run(*words: object, code: int = 2) -> str:
        before = fingerprints(tmp_path)
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("nucleosynth: error: ")]
        assert len(lines) == 1
        assert "Traceback" not in captured.err
        after = fingerprints(tmp_path)
        assert {path: after.get(path) for path in before} == before
        return lines[0].removeprefix("nucleosynth: error: ")

    yield run


def fingerprints(root: Path) -> dict[str, str]:
    """Return the hash of every file below a folder except locks, which name the last process."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two images with their masks, and the folder they lie in."""
    write_pairs(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def tiles(tmp_path: Path) -> TileSet:
    return phantom_tileset(tmp_path / "phantom")


@pytest.fixture
def split(tiles: TileSet, tmp_path: Path) -> Path:
    names = sorted(set(tiles.patients.tolist()))
    made = Split(rule="x", folds=[Fold(train=names[:5], validation=names[5:6], test=names[6:])])
    made.save(tmp_path / "split.json")
    return tmp_path / "split.json"
