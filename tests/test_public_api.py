"""The contract of every public name: an argument of a wrong kind is an InputError of one line, nothing else.

The cases follow from the signatures. A new public name is found by itself; it needs good arguments in `GOOD`,
or the test that compares both fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nucleosynth as ns
from nucleosynth import progress
from nucleosynth.config import Config
from nucleosynth.diffusion.sampling.plan import SamplingRequest, resolve_sampling
from nucleosynth.layouts import fit
from tests.phantoms import TINY_NETWORK, phantom_tileset, tiny_study

NETWORK = {"Generator.push_to_hub"}  # would leave this machine
INTERNAL = {"GeneratorConfig.optimisation"}  # of the package's own use
SHOWN_ELSEWHERE = {"run_study", "Generator.early_model"}
"""Whose good arguments cost minutes; tests of their own show that they work."""
FUNCTIONS = ("sampler", "on_step")
"""Parameters that take a function; what a function of the user raises is the user's to see."""


class Coarse:
    """An extractor without a network: mean colours of quarters."""

    name = "coarse"
    weights_hash = "none"

    def __call__(self, images):
        h, w = images.shape[1] // 2, images.shape[2] // 2
        parts = [images[:, y : y + h, x : x + w].mean((1, 2)) for y in (0, h) for x in (0, w)]
        return np.concatenate(parts, axis=1).astype(np.float32)


@dataclass
class World:
    """What the calls need; ``new()`` is a path where nothing is."""

    tiles: ns.TileSet
    split: ns.Split
    split_file: Path
    generator: ns.Generator
    layouts: ns.LayoutModel
    layouts_file: Path
    layout_tiles: ns.TileSet
    root: Path

    def __post_init__(self) -> None:
        self._numbers = count()
        self.images = np.asarray(self.tiles.images[:12])
        self.masks = np.asarray(self.tiles.masks[:12])
        half = self.tiles.patients[0]
        self.seen = self.tiles[self.tiles.patients != half]
        self.unseen = self.tiles[self.tiles.patients == half]

    def new(self) -> Path:
        return self.root / f"new-{next(self._numbers)}"


Arguments = dict[str, Any]
GOOD: dict[str, Callable[[World], Arguments]] = {
    "Generator.early_for": lambda w: {"plan": resolve_sampling(w.generator.card, steps=1), "early": None},
    "Generator.draw": lambda w: {"plan": resolve_sampling(w.generator.card, steps=1), "labels": [0]},
    "Generator.early_model": lambda w: {},
    "Generator.from_pretrained": lambda w: {"path": w.generator.path, "device": "cpu"},
    "Generator.sample": lambda w: {"labels": [0], "masks": w.masks[:1], "steps": 1},
    "Generator.save_pretrained": lambda w: {"path": w.new()},
    "Generator.to": lambda w: {"device": "cpu"},
    "GeneratorConfig": lambda w: {"steps": 1},
    "LayoutModel": lambda w: dict(w.layouts),
    "LayoutModel.draw": lambda w: {"n": 1},
    "LayoutModel.load": lambda w: {"path": w.layouts_file},
    "LayoutModel.save": lambda w: {"path": w.new()},
    "Split": lambda w: dict(w.split),
    "Split.load": lambda w: {"path": w.split_file},
    "Split.save": lambda w: {"path": w.new()},
    "StudyConfig": lambda w: tiny_study(),
    "SynthesisConfig": lambda w: {},
    "TileSet.__getitem__": lambda w: {"key": 0},
    "TileSet.column": lambda w: {"name": "tile_id"},
    "TileSet.open": lambda w: {"path": w.tiles.path},
    "TileSet.rows_of": lambda w: {"patients": ["phantom:p00"]},
    "TileSet.tiles": lambda w: {"rows": [0]},
    "TileSet.to_pandas": lambda w: {},
    "TileSet.verify": lambda w: {},
    "compare_morphology": lambda w: {"real": w.tiles, "synthetic": w.tiles},
    "fidelity": lambda w: {
        "real": w.seen,
        "synthetic": w.unseen,
        "extractor": Coarse(),
        "resamples": 5,
        "halves": 1,
    },
    "fit_layouts": lambda w: {"tiles": w.layout_tiles, "patients": w.layouts.patients, "rounds": 0},
    "import_tiles": lambda w: {
        "data": {"reader": "phantom", "patients": 1, "tiles": 1},
        "tiles": {"size": 16, "mpp": 1.0},
        "out": w.new(),
    },
    "list_models": lambda w: {},
    "mask_agreement": lambda w: {"predicted": w.masks[:2], "true": w.masks[:2]},
    "memorization": lambda w: {
        "train": w.seen,
        "synthetic": w.images[:2],
        "held_out": w.unseen,
        "extractor": Coarse(),
        "limit": 4,
    },
    "nuclei_table": lambda w: {"images": w.images[:2], "masks": w.masks[:2], "mpp": 0.5},
    "preview": lambda w: {"generator": w.generator, "columns": 1, "stains": 1},
    "run_study": lambda w: {"study": ns.StudyConfig(**tiny_study()), "out": w.new(), "device": "cpu"},
    "save_grid": lambda w: {"images": w.images[:2], "out": w.new().with_suffix(".png")},
    "save_images": lambda w: {"images": w.images[:2], "out": w.new()},
    "save_masks": lambda w: {"masks": w.masks[:2], "out": w.new()},
    "segment": lambda w: {"images": w.images[:1], "mpp": 0.5, "backend": "classical"},
    "show_progress": lambda w: {},
    "split": lambda w: {"tiles": w.tiles, "fractions": (0.6, 0.2, 0.2)},
    "synthesise": lambda w: {
        "generator": w.generator,
        "donors": w.tiles,
        "out": w.new(),
        "config": ns.SynthesisConfig(tiles=1, steps=1),
    },
    "tile_table": lambda w: {"nuclei": ns.nuclei_table(None, w.masks[:2], mpp=0.5)},
    "train_generator": lambda w: {
        "tiles": w.tiles,
        "patients": w.split,
        "out": w.new(),
        "steps": 1,
        "passes": 1,  # where a case leaves `steps` out
        "start": "none",
        "batch": 8,
        "network": TINY_NETWORK,
        "device": "cpu",
    },
}


def wrong_values(world: World) -> dict[str, Any]:
    """Values of every kind that somebody might give in place of the right one."""
    file = world.root / "file.bin"
    file.write_bytes(b"\x00\x01")
    return {
        "None": None,
        "whole": 3,
        "negative": -1,
        "huge": 10**30,
        "fraction": 2.5,
        "nan": float("nan"),
        "infinite": np.inf,
        "true": True,
        "text": "no-such-thing",
        "empty text": "",
        "bytes": b"bytes",
        "texts": ["a", "b"],
        "empty": [],
        "ragged": [[1], [1, 2]],
        "flat": np.zeros(5, np.int64),
        "square": np.zeros((3, 3), np.uint8),
        "five axes": np.zeros((1, 1, 2, 2, 3), np.uint8),
        "fractions": np.random.default_rng(0).random((2, 16, 16, 3)),
        "fractional masks": np.full((2, 16, 16), 0.5, np.float32),
        "negative masks": np.full((2, 16, 16), -1),
        "not numbers": np.full((2, 16, 16), np.nan),
        "objects": np.array([object(), None]),
        "object": object(),
        "function": wrong_values,
        "class": int,
        "dict": {},
        "full dict": {"a": 1},
        "set": {1, 2},
        "missing path": world.root / "missing" / "path",
        "directory": world.root,
        "file": file,
    }


NEVER = ("object", "function")  # of no use to any parameter


def methods(cls: type) -> Iterator[str]:
    """Public methods that a class itself defines, and square brackets."""
    for name, member in vars(cls).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(plain) and (not name.startswith("_") or name == "__getitem__"):
            yield name


def public_callables() -> Iterator[str]:
    for name in ns.__all__:
        found = getattr(ns, name)
        if not inspect.isclass(found):
            yield name
        elif not issubclass(found, Exception):
            yield from (f"{name}.{method}" for method in methods(found))
            if issubclass(found, Config):
                yield name


def parameters(name: str) -> list[str]:
    """Names of the parameters of a public callable, its own object left out."""
    head, _, method = name.partition(".")
    found = getattr(ns, head)
    if inspect.isclass(found) and not method:
        return list(found.model_fields)
    signature = inspect.signature(getattr(found, method) if method else found)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = [p for p in signature.parameters.values() if p.name != "self"]
    options = SamplingRequest.__annotations__ if any(p.name == "sampling" for p in found) else ()
    return [*(p.name for p in found if p.kind in named), *options]


NAMES = sorted(set(public_callables()) - NETWORK - INTERNAL)
SECONDS = {
    "run_study",
    "synthesise",
    "train_generator",
    "fit_layouts",
}  # values that are right start the whole work
CASES = [
    pytest.param(
        name, parameter, id=f"{name}.{parameter}", marks=[pytest.mark.slow] if name in SECONDS else ()
    )
    for name in NAMES
    for parameter in parameters(name)
]


@pytest.fixture(scope="module")
def world(tmp_path_factory, layout_tiles, layout_model) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(root / "cache"))
        tiles = phantom_tileset(root / "tiles", tiles=48, patients=8)
        split = ns.split(tiles, fractions=(0.6, 0.2, 0.2), out=root / "split.json")
        settings = {"batch": 1, "start": "none", "network": TINY_NETWORK, "device": "cpu"}
        made = ns.train_generator(tiles, split, out=root / "run", steps=1, **settings)
        layout_model.save(root / "layouts.json")
        yield World(
            tiles=tiles,
            split=split,
            split_file=root / "split.json",
            generator=ns.Generator.from_pretrained(made, device="cpu"),
            layouts=layout_model,
            layouts_file=root / "layouts.json",
            layout_tiles=layout_tiles,
            root=root,
        )


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    """No bars, few layouts, and a working directory of its own for texts that are taken as paths."""
    monkeypatch.setattr(progress, "_installed", progress.Silent())
    monkeypatch.setattr(fit, "_TRIAL", 10)
    monkeypatch.chdir(tmp_path)


def call(world: World, name: str, arguments: Arguments) -> Any:
    head, _, method = name.partition(".")
    found = getattr(ns, head)
    if method:
        owner = {"TileSet": world.tiles, "Generator": world.generator, "LayoutModel": world.layouts}
        found = getattr(owner.get(head, world.split), method)
    return found(**arguments)


def test_every_public_name_is_covered():
    assert set(GOOD) == set(NAMES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - SHOWN_ELSEWHERE))
def test_the_good_arguments_are_good(world, name):
    made = call(world, name, GOOD[name](world))
    if name == "TileSet.tiles":
        list(made)


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_wrong_arguments_are_one_line(world, name, parameter):
    taken = []
    for kind, value in wrong_values(world).items():
        if parameter in FUNCTIONS and kind in ("function", "class"):
            continue
        try:
            made = call(world, name, {**GOOD[name](world), parameter: value})
            if inspect.isgenerator(made):
                list(made)
            taken.append(kind)
        except ns.InputError as error:
            assert str(error), kind
            assert "\n" not in str(error), kind
        except Exception as error:
            pytest.fail(f"{name}({parameter}={kind}): {type(error).__name__}: {error}")
    assert not set(taken) & set(NEVER)


def test_unknown_settings_are_one_line(world):
    with pytest.raises(ns.InputError, match="unknown key `minuts`; did you mean `minutes`"):
        ns.train_generator(world.tiles, world.split, out=world.new(), minuts=3)
    with pytest.raises(ns.InputError, match="give `minutes` or `steps`"):
        ns.train_generator(world.tiles, world.split, out=world.new(), minutes=3, steps=3)
    with pytest.raises(ns.InputError, match="fold 1: the split has 1"):
        ns.train_generator(world.tiles, world.split, out=world.new(), fold=1)
    with pytest.raises(ns.InputError, match="steps: set in `config` already"):
        ns.train_generator(world.tiles, world.split, ns.GeneratorConfig(steps=2), out=world.new(), steps=2)
