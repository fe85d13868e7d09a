"""Fidelity by class: that of the class alone, nothing computed twice, few tiles are reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluate.fidelity.test_score import MeanColour, coloured

from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.by_class import fidelity_by_class
from nucleosynth.evaluate.fidelity.score import fidelity
from nucleosynth.evaluate.fidelity.tile_groups import TileGroup, seen_and_unseen

CLASSES = ("normal", "atypical")
Labelled = tuple[np.ndarray, np.ndarray, np.ndarray]


class Counting(MeanColour):
    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen += len(images)
        return super().__call__(images)


def labelled(*, seed: int, shift: float = 0.0, prefix: str = "p", second: int = 4) -> Labelled:
    """Ten patients with four tiles of the first class, and four or fewer shifted ones of the second."""
    one = coloured(10, 4, seed=seed, prefix=prefix)
    other = coloured(10, second, seed=seed + 50, shift=shift, prefix=prefix)
    labels = np.repeat([0, 1], [40, 10 * second])
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]), labels


def scored(*groups: Labelled, **settings: Any) -> dict[str, Any]:
    return fidelity_by_class(*groups, **{"classes": CLASSES, "extractor": MeanColour(), **settings})


def of_class(side: Labelled, label: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = side[2] == label
    return side[0][chosen], side[1][chosen]


def test_each_class_is_scored_as_if_it_were_alone() -> None:
    real, made, unseen = labelled(seed=0), labelled(seed=1, shift=40), labelled(seed=2, prefix="q")
    found = scored(real, made, held_out=unseen)
    whole = fidelity(real[:2], made[:2], held_out=unseen[:2], extractor=MeanColour())
    assert {name: found[name] for name in whole} == whole
    for label, name in enumerate(CLASSES):
        some = [of_class(side, label) for side in (real, made, unseen)]
        alone = fidelity(*some[:2], held_out=some[2], extractor=MeanColour())
        assert found["by_class"][name] == alone
    assert found["by_class"]["atypical"]["kid"] > 5 * found["by_class"]["normal"]["kid"]
    json.dumps(found, allow_nan=False)


def test_no_tile_is_embedded_twice() -> None:
    extractor = Counting()
    real, made, unseen = labelled(seed=0), labelled(seed=1), labelled(seed=2, prefix="q")
    scored(real, made, held_out=unseen, extractor=extractor)
    assert extractor.seen == 240


def test_a_class_with_few_tiles_is_left_out_and_said() -> None:
    real, made = labelled(seed=0), labelled(seed=1, second=1)
    found = scored(real, made, held_out=labelled(seed=2, prefix="q", second=1))
    assert found["by_class"]["atypical"] is None
    assert found["by_class"]["normal"]["n"] == 40
    line = "class atypical: 10 synthetic, 10 held_out tiles; expected at least 20 each"
    assert found["warnings"].count(line) == 1
    assert scored(real, made, fewest=10)["by_class"]["atypical"]["n"] == 10


def test_a_class_that_unseen_patients_lack_has_no_reference_between() -> None:
    found = scored(labelled(seed=0), labelled(seed=1), held_out=labelled(seed=2, prefix="q", second=0))
    assert found["by_class"]["normal"]["real_reference"]["between"] is not None
    assert found["by_class"]["atypical"]["real_reference"]["between"] is None
    assert "class atypical: 0 held_out tiles; expected at least 20 each" in found["warnings"]


def test_tiles_without_a_class_count_in_the_whole_alone() -> None:
    real, made = labelled(seed=0), labelled(seed=1)
    made[2][40:] = -1
    found = scored(real, made)
    assert found["n"] == 80
    assert found["by_class"]["atypical"] is None


def test_constant_features_of_a_class_are_refused() -> None:
    real, made = labelled(seed=0), labelled(seed=1)
    with pytest.raises(InputError, match="synthetic has no labels; expected the class of each tile"):
        scored(real, made[:2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="80 tiles and 3 labels"):
        scored(real, (*made[:2], np.zeros(3, int)))
    with pytest.raises(InputError, match="the classes have no names"):
        scored(real, made, classes=())
    made[0][40:] = 128
    with pytest.raises(InputError, match="class atypical: mean-colour: features of `synthetic` are the same"):
        scored(real, made)


def tileset(path: Path, side: Labelled, *, donor: bool, classes: tuple[str, ...] = CLASSES) -> TileSet:
    rows = [
        Tile(
            tile_id=f"t:{i}",
            image=image,
            label=int(label),
            patient_id=None if donor else f"t:{patient}",
            donor_patient_id=f"t:{patient}" if donor else None,
            synthetic=donor,
            mpp=0.5,
        )
        for i, (image, patient, label) in enumerate(zip(*side, strict=True))
    ]
    return write_tileset(path, rows, classes=list(classes))


def test_tilesets_bring_classes_and_donors_tell_seen_from_unseen(tmp_path: Path) -> None:
    real, unseen, made = labelled(seed=0), labelled(seed=2, prefix="q"), labelled(seed=1)
    both = tuple(np.concatenate(pair) for pair in zip(real, unseen, strict=True))
    tiles = tileset(tmp_path / "real", both, donor=False)  # type: ignore[arg-type]
    synthetic = tileset(tmp_path / "made", made, donor=True)
    donors, others = seen_and_unseen(tiles, synthetic)
    assert others is not None
    assert (len(donors), len(others)) == (80, 80)
    found = fidelity_by_class(donors, synthetic, held_out=others, extractor=MeanColour())
    assert found == scored(real, made, held_out=unseen)
    assert seen_and_unseen(tileset(tmp_path / "same", real, donor=False), synthetic)[1] is None

    renamed = tileset(tmp_path / "renamed", made, donor=True, classes=("normal", "grade 2"))
    with pytest.raises(InputError, match="classes normal, atypical and normal, grade 2; expected the same"):
        fidelity_by_class(tiles, renamed, extractor=MeanColour())
    with pytest.raises(InputError, match=r"tiles at 0\.25 and 0\.5 µm/px"):
        fidelity(replace(donors, mpp=0.25), synthetic, extractor=MeanColour())


def test_a_tile_is_named_by_its_place_in_the_set() -> None:
    class Broken(MeanColour):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            found = super().__call__(images)
            found[images.mean(axis=(1, 2, 3)) < 5] = np.nan
            return found

    images, patients, labels = labelled(seed=0)
    images[61] = 0
    side = TileGroup.of((images, patients, labels), "real").of_class(1)
    with pytest.raises(InputError, match="features of `real`, tile 61 are not numbers"):
        side.some(40, seed=0).features(Broken())
