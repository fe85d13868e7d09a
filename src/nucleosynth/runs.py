"""Run directories with settings, lock, artefacts and hashes.

A run directory exists at once with its resolved configuration, its environment and a lock. Artefacts are
built next to their final path and renamed; ``DONE`` is written last with their hashes. The same command again
continues; another configuration, or a second process, is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from nucleosynth.errors import InputError
from nucleosynth.files import disk_errors, file_hash, now, write_json, write_text

if TYPE_CHECKING:
    pass


def environment() -> dict[str, object]:
    """Describe machine and versions, for provenance."""
    packages = ("nucleosynth", "torch", "timm", "numpy", "scikit-image", "pyarrow")
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
        """Whether the run has ended and its artefacts are complete."""
        return (self.path / "DONE").exists()

    def finish(self, artefacts: Sequence[str]) -> None:
        """Write ``DONE`` with the hashes of the artefacts: the last thing a run does."""
        hashes = {name: file_hash(self.path / name) for name in artefacts}
        write_json(self.path / "DONE", {"finished": now(), "artefacts": hashes})


@contextmanager
def open_run(path: Path, *, kind: str, config: Mapping[str, object]) -> Iterator[Run]:
    """Open a run directory: make it, or continue in it.

    Raises
    ------
    InputError
        The directory holds something else, a run with other settings (the message shows the difference), or a
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
    """Hold the directory's lock; the kernel releases it even after ``kill -9``."""
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


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    """Return the name of the first CUDA device if torch is already imported; never import torch for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name(0))
