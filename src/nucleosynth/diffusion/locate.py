"""Location of generators: a directory, the package, or the hub."""

from __future__ import annotations

from pathlib import Path

from nucleosynth.errors import InputError

OWNER, SHIPPED = "nucleosynth", Path(__file__).parent / "shipped"


def shipped_path(name: str) -> Path | None:
    """Return the directory of a generator of the package, such as nucleosynth/tissue-prior; else None."""
    owner, _, model = name.partition("/")
    directory = SHIPPED / model
    return directory if owner == OWNER and (directory / "config.json").is_file() else None


def shipped_name(directory: Path) -> str | None:
    """Return the name of a generator's directory in the package, such as nucleosynth/tissue-prior."""
    return f"{OWNER}/{directory.name}" if directory.parent == SHIPPED else None


def locate(path: str | Path) -> Path:
    """Return the directory with ``config.json``: a path, its ``generator``, or of the package or the hub."""
    for directory in (Path(path), Path(path) / "generator"):
        if (directory / "config.json").is_file():
            return directory
    name = str(path)
    if name.startswith(f"{OWNER}/") and not Path(path).exists():
        shipped = shipped_path(name)
        if shipped is None:
            known = ", ".join(f"{OWNER}/{place.name}" for place in sorted(SHIPPED.iterdir()))
            raise InputError(f"{name}: no generator of this name comes with the package; there is {known}")
        return shipped
    if Path(path).exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"{path}: no generator here (no config.json); train one with `nucleosynth train`")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        raise InputError(
            f"{path}: neither a directory nor available on the hub; give the path of a generator"
        ) from None
