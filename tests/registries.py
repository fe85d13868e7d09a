"""Registries in tests: what a test registers is forgotten when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from nucleosynth.registry import Registry


def keep_as_is(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test add to a copy of a registry."""
    for part in ("_entries", "_loaded"):
        monkeypatch.setattr(registry, part, dict(getattr(registry, part)))
