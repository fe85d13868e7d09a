"""Files that are written completely or not at all; JSON, JSON lines, arrays and hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth.errors import InputError, WorkError

if TYPE_CHECKING:
    import numpy.typing as npt

_NO_PLACE = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
"""Places where nothing can be written: forbidden, or a folder where a file should be, or the reverse."""


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden place into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkError(
                f"{path}: disk full while writing; free some space and run the command again"
            ) from None
        if error.errno in _NO_PLACE:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
        raise


@contextmanager
def partial(path: Path) -> Iterator[Path]:
    """Build a file or directory as ``.NAME.partial`` and rename it over ``path`` when it is whole.

    Yields
    ------
    The path to write to; nothing exists there yet. An error removes what was written and leaves ``path`` as
    it was.
    """
    building = path.with_name(f".{path.name}.partial")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(building)
        try:
            yield building
            _sync(building)
        except BaseException:
            _remove(building)
            raise
        if building.is_dir() and path.exists():
            _remove(path)
        building.replace(path)
        _sync_directory(path.parent)


def is_free(path: Path) -> bool:
    """Tell whether nothing is lost by writing a directory here: there is none, or an empty one."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with partial(path) as building:
        building.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; refuse a damaged one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an existing file") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; make it again or restore it") from None


def user_folder(kind: str, default: str) -> Path:
    """Return a folder that outlives runs, of a ``kind`` such as CACHE: by variable, or in the user's home."""
    base = os.environ.get(f"XDG_{kind}_HOME") or Path.home() / default
    return Path(os.environ.get(f"NUCLEOSYNTH_{kind}") or Path(base) / "nucleosynth")


def append_jsonl(path: Path, record: Mapping[str, object]) -> None:
    """Append one record as one line, synced to disk; a line cut short before it stays one of its own."""
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def write_jsonl(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write a JSON-lines file, whole or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a NumPy file, whole or not at all."""
    import numpy as np

    with partial(path) as building, building.open("wb") as file:
        np.save(file, array)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read the records of a JSON-lines file; lines cut short by a crash are left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            records.append(json.loads(line))
    return records


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of a directory's files by sorted relative name."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        else:
            _sync_directory(file)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
