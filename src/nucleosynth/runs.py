"""Run directories and files that appear whole or not at all.

A run directory exists at once with its resolved configuration, its environment and a lock. Artefacts are
built beside their place and renamed; ``DONE`` is written last with their hashes. The same command again goes
on; another configuration, or a second process, is refused.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from nucleosynth.errors import InputError, WorkError

if TYPE_CHECKING:
    import numpy.typing as npt


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
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
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


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with partial(path) as building:
        building.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; damage is named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an existing file") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; make it again or restore it") from None


def user_folder(kind: str, default: str) -> Path:
    """Return what outlives a run, of a ``kind`` such as CACHE: by its variable, or in the user's home."""
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


def environment() -> dict[str, object]:
    """Describe machine and versions, for provenance."""
    packages = ("nucleosynth", "torch", "timm", "numpy", "accelerate", "scikit-image", "pyarrow")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "gpu": _gpu_name(),
        "versions": versions,
    }


@dataclass
class Run:
    """An open run directory; made by `open_run`."""

    path: Path
    kind: str
    config: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the run has ended and its artefacts are whole."""
        return (self.path / "DONE").exists()

    def finish(self, artefacts: Sequence[str]) -> None:
        """Write ``DONE`` with the hashes of the artefacts: the last thing a run does."""
        hashes = {name: file_hash(self.path / name) for name in artefacts}
        write_json(self.path / "DONE", {"finished": now(), "artefacts": hashes})


@contextmanager
def open_run(path: Path, *, kind: str, config: Mapping[str, object]) -> Iterator[Run]:
    """Open a run directory: make it, or go on with it.

    Raises
    ------
    InputError
        Where the directory holds something else, a run with other settings (the difference is shown), or a
        run that another process works on.
    """
    settings = json.loads(json.dumps(dict(config)))
    with disk_errors(path):
        if path.exists() and not ((path / "config.yaml").exists() or _only_a_lock(path)):
            raise InputError(f"{path}: holds files that are not a run; choose a new or empty directory")
        path.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            _settle(path, kind, settings)
            yield Run(path, kind, settings)


def _only_a_lock(path: Path) -> bool:
    return path.is_dir() and {p.name for p in path.iterdir()} <= {
        "lock",
        "environment.json",
        ".config.yaml.partial",
    }


def _settle(path: Path, kind: str, settings: dict[str, Any]) -> None:
    record = {"kind": kind, **settings}
    stored = path / "config.yaml"
    if stored.exists():
        difference = _difference(yaml.safe_load(stored.read_text(encoding="utf-8")) or {}, record)
        if difference:
            raise InputError(f"{path}: is a run with other settings ({difference}); choose another directory")
        return
    write_json(path / "environment.json", {**environment(), "command": sys.argv, "started": now()})
    write_text(stored, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def _difference(old: Any, new: Any, name: str = "") -> str:
    """Name up to three settings that differ, as ``key: old -> new``."""
    found: list[str] = []

    def compare(a: Any, b: Any, key: str) -> None:
        if isinstance(a, dict) and isinstance(b, dict):
            for part in sorted({*a, *b}):
                compare(a.get(part), b.get(part), f"{key}.{part}".lstrip("."))
        elif a != b:
            found.append(f"{key}: {a!r:.60} -> {b!r:.60}")

    compare(old, new, name)
    return "; ".join(found[:3]) + (f"; {len(found) - 3} more" if len(found) > 3 else "")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the directory's lock; the kernel gives it back even after ``kill -9``."""
    with (path / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{path}: in use by {_holder(file)}; wait for it or choose another directory"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        file.flush()
        yield


def _holder(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError):
        return "another process"


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


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    """Name the first CUDA device where torch is already in use; never imports torch for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name(0))
