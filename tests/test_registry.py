"""Registries: by name, lazily, and what an unknown name prints."""

from __future__ import annotations

import sys

import pytest

from nucleosynth.errors import InputError
from nucleosynth.registry import Registry


def test_objects_are_imported_when_needed():
    sys.modules.pop("this", None)
    registry: Registry[object] = Registry("thing", {"zen": "fractions:Fraction", "own": 7})
    assert (list(registry), len(registry), "own" in registry, 7 in registry) == (
        ["zen", "own"],
        2,
        True,
        False,
    )
    assert registry.get("own") == 7
    assert registry.get("zen") is registry.get("zen") is sys.modules["fractions"].Fraction


def test_an_added_object_replaces_one_of_its_name():
    registry: Registry[object] = Registry("thing", {"a": 1})
    assert registry.get("a") == 1
    registry.register("a", 2)
    registry.register("b", 3)
    assert (registry.get("a"), registry.get("b")) == (2, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("huen", "unknown sampler 'huen'; did you mean heun? known are heun, ddim"),
        (3, "unknown sampler 3; known"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_all(name, words):
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        Registry("sampler", {"heun": 1, "ddim": 2}).get(name)
