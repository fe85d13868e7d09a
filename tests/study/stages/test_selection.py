"""Filters of synthetic tiles: what each drops, that shares stay, and that no held-out tile is read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.nuclei.drawn import disc_labels, painted, scattered
from tests.registries import keep_as_is

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.config import parse
from nucleosynth.data.split import Fold
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.features import EXTRACTORS, register_extractor
from nucleosynth.files import read_json
from nucleosynth.segmentation.backends.learned import judge
from nucleosynth.segmentation.segmenter import SEGMENTERS, register_segmenter
from nucleosynth.study.design.arms import FILTERS, ArmsConfig
from nucleosynth.study.stages import selection
from nucleosynth.study.stages.filters import (
    Confidence,
    Copies,
    Filter,
    Masks,
    Typicality,
    filter_class,
    tile_iou,
)
from nucleosynth.study.stages.selection import best_share, select_tiles

SIDE = 16
CLASSES = ["sparse", "crowded"]
NAMES = ["confidence", "typicality", "masks", "copies"]
TRAIN = [f"lab:{i}" for i in range(4)]
FOLD = Fold(train=TRAIN, validation=["lab:4"], test=["lab:5"])
CLASSIFIER = ClassifierConfig(
    model="test_resnet", weights="none", steps=12, batch=16, lr=3e-3, views=1, jitter=0.0, seeds=1
)
POOL_LABELS = [0] * 9 + [1] * 6


class Cells:
    """Cheap features: colours of 4 x 4 cells."""

    name, weights_hash = "cells", "none"

    def __call__(self, images):
        side = images.shape[1] // 4
        cells = images.reshape(len(images), 4, side, 4, side, 3).mean(axis=(2, 4))
        return cells.reshape(len(images), -1).astype(np.float32)


class Dark:
    """Finds exactly the nuclei that `painted` paints."""

    name, weights_hash = "dark", "dark-1"

    def __call__(self, images, mpp):
        return (images.mean(axis=-1) < 150).astype(np.int32)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    keep_as_is(EXTRACTORS, monkeypatch)
    keep_as_is(SEGMENTERS, monkeypatch)
    register_extractor("cells", lambda _: Cells())
    register_segmenter("dark", Dark)
    register_segmenter("judge-by-another-name", judge)


def layout(seed: int, label: int, side: int = SIDE) -> np.ndarray:
    """Return a mask of few or of many nuclei."""
    count = 2 if label == 0 else 7
    return disc_labels(scattered(seed, count=count, side=side), radius=2.0, size=side, mpp=1.0)


def write(path: Path, tiles: list[Tile], **provenance) -> TileSet:
    return write_tileset(path, tiles, classes=CLASSES, provenance=provenance)


def real_tiles(path: Path, patients=range(6), *, disturb: bool = False, side: int = SIDE) -> TileSet:
    """Write twelve tiles a patient; disturbed: held-out patients with other pixels, masks and labels."""
    rows = []
    for index in range(72):
        patient, label = index % 6, index // 6 % 2
        if patient not in patients:
            continue
        other = disturb and patient > 3
        mask = layout(1000 + index, 1 - label if other else label, side)
        image = 255 - painted(mask, seed=index) if other else painted(mask, seed=index)
        rows.append(
            Tile(
                tile_id=f"lab:{index}",
                image=image,
                mask=mask.astype(np.uint16),
                patient_id=f"lab:{patient}",
                label=label,
                mpp=1.0,
            )
        )
    return write(path, rows)


def drawn_pool(
    path: Path,
    *,
    labels=POOL_LABELS,
    images: dict | None = None,
    masks: dict | None = None,
    donors=TRAIN,
    patients: list[str] | None = TRAIN,
    mpp: float | None = 1.0,
    side: int = SIDE,
) -> TileSet:
    """A pool of faithful tiles, but for the given ``images`` and ``masks`` (by row; None: no mask)."""
    rows = []
    for index, label in enumerate(labels):
        mask = layout(index, max(label, 0), side)
        asked = (masks or {}).get(index, mask)
        rows.append(
            Tile(
                tile_id=f"synthetic:{index}",
                image=(images or {}).get(index, painted(mask, seed=500 + index)),
                mask=None if asked is None else asked.astype(np.uint16),
                patient_id=None,
                patient_known=False,
                label=None if label < 0 else label,
                mpp=mpp,
                synthetic=True,
                sample_index=index,
                donor_patient_id=donors[index % len(donors)],
            )
        )
    return write(path, rows, **({} if patients is None else {"patients": patients}))


def select(
    name, pool, tiles, out, *, fold=FOLD, keep=0.5, extractor="cells", segmenter="dark", judge="judge",
    classifier=CLASSIFIER,
):  # fmt: skip
    filters = {
        "confidence": lambda: Confidence(classifier, out, 0, "cpu"),
        "typicality": lambda: Typicality(extractor),
        "masks": lambda: Masks(segmenter, judge),
        "copies": Copies,
    }
    return select_tiles(filters[name](), pool, tiles, fold.train, keep=keep, out=out)


@pytest.fixture
def real(tmp_path):
    return real_tiles(tmp_path / "real")


@pytest.fixture
def pool(tmp_path):
    return drawn_pool(tmp_path / "pool")


def test_the_best_share_by_hand():
    scores, labels = np.array([0.1, 0.9, 0.5, 0.5, 0.7]), np.array([0, 0, 0, 0, 1])
    kept = {
        keep: best_share(scores, labels, np.arange(5), keep=keep).tolist() for keep in (0.01, 0.5, 0.7, 1)
    }
    assert kept == {0.01: [1, 4], 0.5: [1, 2, 4], 0.7: [1, 2, 3, 4], 1: [0, 1, 2, 3, 4]}
    assert best_share(scores, labels, np.arange(5)[::-1], keep=0.5).tolist() == [1, 3, 4]
    assert len(best_share(np.zeros(30), np.zeros(30, int), np.arange(30), keep=0.1)) == 3


def test_the_overlap_of_each_tile_by_hand():
    asked = np.array([[[1, 2], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]])
    found = np.array([[[7, 0], [7, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 3]]])
    assert tile_iou(found, asked).tolist() == [1 / 3, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_kept_tiles_are_nested_of_each_class_alike_and_all_at_one(name, real, pool, tmp_path):
    shares = (0.1, 0.5, 1.0) if name != "confidence" else (0.5, 1.0)
    kept = [select(name, pool, real, tmp_path / f"run-{keep}", keep=keep) for keep in shares]
    assert kept[-1].tolist() == list(range(len(pool)))
    assert all(set(few) < set(more) for few, more in pairwise(kept))
    counts = [np.bincount(pool.labels[rows]).tolist() for rows in kept]
    assert counts == [[1, 1], [5, 3], [9, 6]][-len(shares) :]


def test_a_copy_of_a_training_tile_goes_first_however_it_is_turned(real, tmp_path):
    train = real.rows_of(TRAIN)
    copied = {3: real.images[train[10]][:, ::-1], 10: np.rot90(real.images[train[0]])}
    pool = drawn_pool(tmp_path / "pool", images=copied)
    kept = select("copies", pool, real, tmp_path / "run", keep=0.8)
    assert set(range(15)) - set(kept.tolist()) == set(copied)


def test_noise_is_not_typical(real, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    pool = drawn_pool(tmp_path / "pool", images={4: noise[0], 12: noise[1]})
    kept = select("typicality", pool, real, tmp_path / "run", keep=0.8)
    assert set(range(15)) - set(kept.tolist()) == {4, 12}


def test_tiles_that_do_not_follow_their_mask_are_dropped(real, tmp_path):
    exchanged = {row: layout(900 + row, 0 if row < 9 else 1) for row in (1, 5, 11)}
    pool = drawn_pool(tmp_path / "pool", masks=exchanged)
    kept = select("masks", pool, real, tmp_path / "run", keep=2 / 3)
    assert not {1, 5, 11} & set(kept.tolist())
    record = read_json(tmp_path / "run" / "selection.json")
    assert [part["quantiles"]["1"] for part in record["classes"]] == [1.0, 1.0]
    assert record["patients"] == []


@pytest.mark.slow
def test_a_tile_of_another_class_than_asked_for_is_dropped(real, tmp_path):
    wrong = {row: painted(layout(800 + row, 1 if row < 9 else 0), seed=row) for row in (0, 7, 13)}
    pool = drawn_pool(tmp_path / "pool", images=wrong)
    learned = CLASSIFIER.model_copy(update={"steps": 40})
    kept = select("confidence", pool, real, tmp_path / "run", keep=2 / 3, classifier=learned)
    assert not set(wrong) & set(kept.tolist())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_held_out_patient_decides(name, real, pool, tmp_path):
    kept = select(name, pool, real, tmp_path / "run")
    disturbed = real_tiles(tmp_path / "disturbed", disturb=True)
    absent = real_tiles(tmp_path / "absent", patients=range(4))
    scores = [read_json(tmp_path / "run" / "selection.json")["classes"]]
    for index, others in enumerate((disturbed, absent)):
        out = tmp_path / f"run-{index}"
        assert np.array_equal(select(name, pool, others, out), kept)
        scores.append(read_json(out / "selection.json")["classes"])
    assert scores[0] == scores[1] == scores[2]
    assert set(read_json(tmp_path / "run" / "selection.json")["patients"]) <= set(TRAIN)


@pytest.mark.slow
def test_tiles_without_a_class_are_a_class_of_their_own(real, tmp_path):
    pool = drawn_pool(tmp_path / "pool", labels=[0] * 4 + [-1] * 4 + [1] * 2)
    for name in NAMES:
        kept = select(name, pool, real, tmp_path / name)
        assert [int((pool.labels[kept] == label).sum()) for label in (-1, 0, 1)] == [2, 2, 1]
        assert read_json(tmp_path / name / "selection.json")["classes"][0]["class"] is None


@pytest.mark.slow
def test_a_class_that_one_half_of_the_patients_lacks_is_scored_by_the_other(tmp_path):
    real = real_tiles(tmp_path / "real")
    one = [tile for tile in real.tiles() if tile.label == 0 or tile.patient_id in ("lab:0", "lab:5")]
    kept = select("confidence", drawn_pool(tmp_path / "pool"), write(tmp_path / "one", one), tmp_path / "run")
    assert len(kept) == 8


def test_what_was_selected_is_read_again_and_says_what_it_was_made_of(real, pool, tmp_path, monkeypatch):
    kept = select("typicality", pool, real, tmp_path / "run")
    record = read_json(tmp_path / "run" / "selection.json")
    assert record["rows"] == kept.tolist()
    assert record["extractor"] == {"name": "cells", "weights_hash": "none"}
    assert (record["pool"], record["tileset"]) == (pool.content_hash, real.content_hash)
    assert record["patients"] == record["train"] == TRAIN
    assert [(part["class"], part["tiles"], part["kept"]) for part in record["classes"]] == [
        ("sparse", 9, 5),
        ("crowded", 6, 3),
    ]
    monkeypatch.setattr(selection, "best_share", lambda *_, **__: pytest.fail("selected twice"))
    assert np.array_equal(select("typicality", pool, real, tmp_path / "run"), kept)


@pytest.mark.slow
def test_a_selection_that_was_broken_off_goes_on_with_its_classifiers(real, pool, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(selection, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        select("confidence", pool, real, tmp_path / "run")
    model = tmp_path / "run" / "half-1" / "model.safetensors"
    before = model.stat().st_mtime_ns
    kept = select("confidence", pool, real, tmp_path / "run")
    assert model.stat().st_mtime_ns == before
    assert np.array_equal(kept, select("confidence", pool, real, tmp_path / "unbroken"))


def test_another_selection_in_the_same_place_is_refused(real, pool, tmp_path):
    select("copies", pool, real, tmp_path / "run")
    three = Fold(train=TRAIN[:3], test=["lab:5"])
    fewer = drawn_pool(tmp_path / "fewer", labels=[0, 1, 1], donors=TRAIN[:3], patients=TRAIN[:3])
    with pytest.raises(InputError, match=r"keep: 0.5 -> 0.25"):
        select("copies", pool, real, tmp_path / "run", keep=0.25)
    with pytest.raises(InputError, match=r"pool: .* -> "):
        select("copies", fewer, real, tmp_path / "run")
    with pytest.raises(InputError, match=r"train: "):
        select("copies", fewer, real, tmp_path / "run", fold=three)
    with pytest.raises(InputError, match=r"filter: 'copies' -> 'masks'"):
        select("masks", pool, real, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "drawn", "asked", "words"),
    [
        ("copies", {}, {"keep": 0}, "keep 0: expected a share of the pool"),
        ("copies", {}, {"keep": 1.5}, "keep 1.5: expected a share of the pool"),
        (
            "copies",
            {"patients": [*TRAIN, "lab:5"]},
            {},
            "was trained on patient lab:5, who is outside the training",
        ),
        (
            "copies",
            {"donors": ["lab:4"]},
            {},
            "was trained on patient lab:4, who is outside the training part",
        ),
        ("copies", {"patients": None}, {}, "has no record of the patients its generator was trained on"),
        ("copies", {"side": 32}, {}, "has tiles of 32 px and classes .* the real ones are of 16 px"),
        ("typicality", {}, {"extractor": "none"}, "name an extractor instead of none"),
        ("masks", {}, {"segmenter": "none"}, "name a segmenter instead of none"),
        ("masks", {}, {"segmenter": "judge"}, "`judge` is the mask judge, which must not choose the tiles"),
        ("masks", {}, {"segmenter": "judge-by-another-name"}, "must not choose the tiles"),
        ("masks", {}, {"segmenter": "dark", "judge": "dark"}, "`dark` is the mask judge"),
        ("masks", {"masks": {3: None}}, {}, "1 of 15 tiles have no mask"),
        ("masks", {"mpp": None}, {}, "its µm/px is unknown"),
        ("confidence", {"labels": [-1, -1]}, {}, "0 synthetic tiles with a class; expected at least 2, 2"),
    ],
)
def test_a_bad_request_is_one_line_and_leaves_nothing(name, drawn, asked, words, real, tmp_path):
    pool = drawn_pool(tmp_path / "pool", **drawn)
    with pytest.raises(InputError, match=words) as caught:
        select(name, pool, real, tmp_path / "run", **asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_halved_or_folded_is_refused(real, tmp_path):
    alone = Fold(train=TRAIN[:1], test=["lab:5"])
    of_one = drawn_pool(tmp_path / "pool", donors=TRAIN[:1], patients=TRAIN[:1])
    with pytest.raises(InputError, match="2 classes, 1 training patients and 15 synthetic tiles"):
        select("confidence", of_one, real, tmp_path / "run", fold=alone)
    with pytest.raises(InputError, match="has no tile of a training patient"):
        select("copies", of_one, real_tiles(tmp_path / "others", patients=[5]), tmp_path / "run", fold=alone)
    odd = drawn_pool(tmp_path / "odd", side=24)
    with pytest.raises(InputError, match="tiles of 24 x 24 px; expected squares, a multiple of 16 px"):
        select("copies", odd, real_tiles(tmp_path / "odd-real", side=24), tmp_path / "run")


def test_every_filter_is_known_by_its_name_and_another_is_one_line():
    assert list(FILTERS) == NAMES
    for name in FILTERS:
        assert issubclass(filter_class(name), Filter)
        assert filter_class(name).name == name
    with pytest.raises(InputError, match="unknown filter 'novelty'; known are confidence, typicality, masks"):
        filter_class("novelty")
    with pytest.raises(InputError, match="unknown filter 'copy'; did you mean copies"):
        parse(ArmsConfig, {"filters": ["copy"]})
