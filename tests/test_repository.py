"""What is committed: no large file, no long module, no drawer of a module, and bounds that are tested."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.places import ROOT

MOST_BYTES = 5 * 2**20
PRIORS = {
    f"src/nucleosynth/diffusion/shipped/{name}/model.safetensors"
    for name in ("tissue-prior", "tissue-prior-40x", "tissue-prior-noamibr")
}
"""Larger, and meant to be: the weights that the package brings."""
MOST_LINES = {"src": 400, "benchmarks": 500, "tests": 500}
DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
"""Names that say nothing of what a module is about."""
OTHER_BUILDS = {"torch", "torchvision"}
"""Of one version in all runs: other builds cost gigabytes."""


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def modules(committed: list[Path]) -> list[Path]:
    return [path.relative_to(ROOT) for path in committed if path.suffix == ".py"]


def test_no_file_is_large_but_the_weights(committed):
    large = {str(path.relative_to(ROOT)) for path in committed if path.stat().st_size > MOST_BYTES}
    assert large == PRIORS


def test_no_module_is_long(committed):
    lengths = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in modules(committed)}
    assert not {path: n for path, n in lengths.items() if n > MOST_LINES.get(path.parts[0], 400)}


def test_no_module_is_a_drawer(committed):
    assert not [path for path in modules(committed) if {path.stem, *path.parts[:-1]} & DRAWERS]


def pinned(name: str) -> dict[str, Version]:
    """Return the versions of a file of constraints by package."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(package): Version(version) for package, version in lines}


def stated(*extras: str) -> dict[str, Requirement]:
    """Return the required dependencies, and those of some extras, but the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = [*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])]
    found = {canonicalize_name(one.name): one for one in map(Requirement, listed)}
    return {name: one for name, one in found.items() if name != project["name"]}


def test_the_lowest_versions_are_those_that_are_stated():
    lowest = pinned("constraints-lowest.txt")
    bounds = {name: one for name, one in stated().items() if name not in OTHER_BUILDS}
    assert lowest.keys() == bounds.keys()
    for name, one in bounds.items():
        (bound,) = one.specifier
        assert (bound.operator, Version(bound.version)) == (">=", lowest[name]), name


def test_every_dependency_of_the_tests_is_pinned_within_its_bounds():
    versions = pinned("constraints.txt")
    for name, one in stated("hub", "test", "dev").items():
        assert name in versions, name
        assert versions[name] in one.specifier, name
