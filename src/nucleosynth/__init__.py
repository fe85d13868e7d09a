"""nucleosynth makes annotated H&E tiles with diffusion models and measures, honestly, whether they help.

The public names are those of ``__init__.pyi``.
"""

from __future__ import annotations

import functools
from importlib import import_module, metadata
from pathlib import Path
from typing import Any


@functools.cache
def _homes() -> dict[str, str]:
    """Return the module of each public name, as ``__init__.pyi`` imports it."""
    import ast

    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {name.name: node.module for node in imports for name in node.names if node.module}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import nucleosynth`` stays fast."""
    if name == "__version__":
        return metadata.version("nucleosynth")
    if name == "__all__":
        return sorted(_homes())
    if not name.startswith("_") and name in _homes():
        found = globals()[name] = getattr(import_module(_homes()[name]), name)
        return found
    raise AttributeError(f"module 'nucleosynth' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what a notebook offers for completion: the public names."""
    return [*sorted(_homes()), "__version__"]
