"""Find files below a folder: searched recursively, hidden files and archive litter left out."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from nucleosynth.data.images import IMAGE_SUFFIXES
from nucleosynth.data.readers.labels import nearest
from nucleosynth.errors import InputError


def find_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the files below ``folder`` with one of the suffixes (lower case), sorted.

    Raises
    ------
    InputError
        Where the folder does not exist or holds no such file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the data root and the configuration")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
        ]
    if not found:
        raise InputError(f"{folder}: holds no {', '.join(sorted(suffixes))} file; check the folder")
    return sorted(found)


def by_stem(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Map the stem of each file below ``folder`` to its path; a stem that occurs twice is refused."""
    stems: dict[str, Path] = {}
    for path in find_files(folder, suffixes):
        if path.stem in stems:
            raise InputError(f"{path}: has the name of {stems[path.stem]}; rename one, or import them apart")
        stems[path.stem] = path
    return stems


class Finder:
    """An index of files below a folder, whose tree is walked only if a name is not directly in it."""

    def __init__(self, folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> None:
        self._folder = folder
        self._suffixes = suffixes

    def find(self, name: str, *, where: str) -> Path:
        """Return the one file of this name (or relative path); ``where`` begins the error message."""
        direct = self._folder / name
        if direct.is_file():
            return direct
        parts = Path(name).parts
        found = [p for p in self._names.get(Path(name).name, []) if p.parts[-len(parts) :] == parts]
        if not found:
            raise InputError(f"{where}: no file {name} below {self._folder}; {nearest(name, self._names)}")
        if len(found) > 1:
            raise InputError(f"{where}: {name} is both {found[0]} and {found[1]}; give the folder as well")
        return found[0]

    @cached_property
    def _names(self) -> dict[str, list[Path]]:
        names: dict[str, list[Path]] = {}
        for path in find_files(self._folder, self._suffixes):
            names.setdefault(path.name, []).append(path)
        return names
