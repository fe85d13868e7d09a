"""Segmentation arms: segmenters trained on real and synthetic tiles, compared on held-out patients."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.phantoms import phantom_tileset
from tests.study.contexts import fit_context

from nucleosynth.config import parse
from nucleosynth.data.split import Fold
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.patient_scores import compare_segmenters, nuclei_statistic, nuclei_sums
from nucleosynth.files import append_jsonl, read_json, read_jsonl
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.learned.config import AnnotatedConfig, NetworkTraining, SegmenterTraining
from nucleosynth.segmentation.learned.crops import TrainingCrops
from nucleosynth.segmentation.learned.tiles import TrainingTiles, crop_for, train_on_tiles
from nucleosynth.segmentation.learned.train import train_segmenter
from nucleosynth.segmentation.learned.weights import WEIGHTS
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.design.jobs import Job
from nucleosynth.study.design.segmentation import SEGMENTATION_ARMS, SegmentationConfig
from nucleosynth.study.stages.segmenters import score_segmenter, segmenter_training_tiles, train_arm
from nucleosynth.training import loop

FIT = [f"phantom:p{index:02d}" for index in range(5)]
TEST = [f"phantom:p{index:02d}" for index in range(5, 8)]
SEGMENTATION = {"steps": 3, "batch": 2, "recipe": "judge"}
POOL = Fit().pool(0)


def synthetic(
    tiles: TileSet, path: Path, patients: list[str], *, trained: list[str] | None = None
) -> TileSet:
    """Write a pool like that of a generator: tiles of the donors, as if they were drawn."""
    rows = [
        replace(
            tile,
            tile_id=f"made:{index}",
            image=255 - tile.image,
            patient_id=None,
            synthetic=True,
            donor_tile_id=tile.tile_id,
            donor_patient_id=tile.patient_id,
        )
        for index, tile in enumerate(tiles.tiles(tiles.rows_of(patients)))
    ]
    return write_tileset(path, rows, classes=tiles.classes, provenance={"patients": trained or patients})


def folder(arm: str) -> str:
    return f"fold-0/segmenters/{arm}"


def train(
    out: Path, arm: str, *, to: str | None = None, fold: int = 0, patients: list[str] = FIT, **changes: Any
) -> dict[str, Any]:
    """Run the job of a segmentation arm with the pool of ``fold``."""
    tiles = TileSet.open(out / "tiles")
    settings = {**SEGMENTATION, **changes}
    context = fit_context(tiles, Fold(train=patients), out, fold=fold, seed=2, segmentation=settings)
    return train_arm(context, Job("segmenter", context.fit, to or folder(arm), name=arm, seed=1))


def weights(out: Path, folder: str) -> bytes:
    return (out / folder / "weights" / WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """A study's directory with tiles, pool and a segmenter of each arm, and what the jobs returned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("study")
        tiles = phantom_tileset(out / "tiles")
        synthetic(tiles, out / POOL, FIT)
        return out, [train(out, arm) for arm in SEGMENTATION_ARMS]


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "study"))


def access(out: Path) -> Callable[[], None]:
    return lambda: append_jsonl(out / "test_access.jsonl", {"what": "segmenter"})


def test_all_arms_take_equal_steps_from_the_same_seed(trained):
    out, results = trained
    assert [result["arm"] for result in results] == list(SEGMENTATION_ARMS)
    assert {result["steps"] for result in results} == {3}
    assert len({result["weights_hash"] for result in results}) == 3
    runs = [yaml.safe_load((out / folder(arm) / "config.yaml").read_text()) for arm in SEGMENTATION_ARMS]
    for key in ("segmenter", "seed"):
        assert runs[0][key] == runs[1][key] == runs[2][key]


def test_a_run_records_what_it_trained_on(trained):
    out, _ = trained
    tiles, pool = TileSet.open(out / "tiles"), TileSet.open(out / POOL)
    for arm, shares, names in (
        ("real", [1.0], ["real"]),
        ("synthetic-only", [1.0], ["synthetic"]),
        ("both", [0.5, 0.5], ["real", "synthetic"]),
    ):
        run = out / folder(arm)
        settings = yaml.safe_load((run / "config.yaml").read_text())
        assert settings["shares"] == shares
        assert settings["study"] == {
            "arm": arm,
            "tileset": tiles.content_hash,
            "pool": None if arm == "real" else pool.content_hash,
            "patients": FIT,
        }
        card = read_json(run / "weights" / "card.json")
        assert [entry["name"] for entry in card["training"]] == names
        assert all(entry["patients"] == FIT for entry in card["training"])


def test_a_finished_run_is_read_back_and_others_in_its_place_are_refused(copied):
    before = weights(copied, "fold-0/segmenters/real")
    again = train(copied, "real")
    assert again["steps"] == 3
    assert weights(copied, "fold-0/segmenters/real") == before
    with pytest.raises(InputError, match="run with other settings"):
        train(copied, "real", patients=FIT[:3])


@pytest.mark.slow
def test_a_broken_run_goes_on_to_the_same_weights(copied, monkeypatch):
    train(copied, "both", steps=28, to="whole")
    monkeypatch.setattr(loop._Clock, "due", lambda self: True)
    draw = TrainingCrops.draw

    def breaking(self, step):
        if step == 26:
            raise KeyboardInterrupt
        return draw(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCrops, "draw", breaking)
        with pytest.raises(KeyboardInterrupt):
            train(copied, "both", steps=28, to="broken")
    with pytest.raises(InputError, match="training is not finished"):
        score_segmenter(copied / "broken", TileSet.open(copied / "tiles"), TEST, before=access(copied))
    assert not (copied / "test_access.jsonl").exists()
    train(copied, "both", steps=28, to="broken")
    assert weights(copied, "broken") == weights(copied, "whole")


def test_other_patients_change_nothing_in_training(copied, tmp_path):
    tiles = TileSet.open(copied / "tiles")
    kept = list(tiles.tiles(tiles.rows_of(FIT)))
    write_tileset(tmp_path / "few" / "tiles", kept, classes=tiles.classes, ordinal=True)
    train(tmp_path / "few", "real")
    assert weights(tmp_path / "few", "fold-0/segmenters/real") == weights(copied, "fold-0/segmenters/real")


@pytest.mark.parametrize("arm", ["synthetic-only", "both"])
@pytest.mark.parametrize(
    ("donors", "trained_on"), [([*FIT, TEST[0]], FIT), (FIT, [*FIT, TEST[0]])], ids=["donor", "generator"]
)
def test_a_pool_that_depends_on_a_held_out_patient_is_refused(copied, arm, donors, trained_on):
    synthetic(TileSet.open(copied / "tiles"), copied / Fit(1).pool(0), donors, trained=trained_on)
    with pytest.raises(
        InputError, match=f"was trained on patient {TEST[0]}, who is outside the training part"
    ):
        train(copied, arm, fold=1, to="new")
    assert not (copied / "new").exists()


def test_a_pool_of_all_training_patients_is_refused_for_a_data_fraction(copied):
    with pytest.raises(InputError, match=f"was trained on patient {FIT[3]}"):
        train(copied, "both", patients=FIT[:3], to="fraction")


def test_bad_requests_are_one_line(copied):
    config = parse(SegmentationConfig, SEGMENTATION)
    with pytest.raises(InputError, match="no pool was drawn"):
        segmenter_training_tiles("both", config, TileSet.open(copied / "tiles"), fit=FIT, pool=None)
    with pytest.raises(InputError, match="no segmentation arms"):
        train(copied, "real", steps=0, to="new")
    pool = TileSet.open(copied / POOL)
    bare = [replace(tile, mask=None) for tile in pool.tiles()]
    write_tileset(copied / Fit(1).pool(0), bare, classes=pool.classes, provenance={"patients": FIT})
    with pytest.raises(InputError, match=r"synthetic-0: none of the 30 requested tiles has a mask"):
        train(copied, "both", fold=1, to="new")
    write_tileset(copied / Fit(2).pool(0), pool.tiles(), classes=pool.classes)
    with pytest.raises(InputError, match="has no record of the patients its generator was trained on"):
        train(copied, "both", fold=2, to="new")
    with pytest.raises(InputError, match="dose"):
        parse(SegmentationConfig, {"dose": 1.0})


def test_test_patients_are_read_once(copied):
    tiles, run = TileSet.open(copied / "tiles"), copied / "fold-0/segmenters/both"
    found = score_segmenter(run, tiles, TEST, before=access(copied), device="cpu")
    assert found == read_json(run / "test-nuclei.json")
    assert found == score_segmenter(run, tiles, TEST, before=access(copied), device="cpu")
    assert len(read_jsonl(copied / "test_access.jsonl")) == 1
    assert list(found["sums"]) == TEST
    assert found["kind"] == "agreement"
    assert found["tiles"] == len(tiles.rows_of(TEST))
    with pytest.raises(InputError, match="holds the scores of other patients"):
        score_segmenter(run, tiles, TEST[:2], before=access(copied))


def test_a_patient_of_the_training_is_not_scored(copied):
    tiles = TileSet.open(copied / "tiles")
    for arm in SEGMENTATION_ARMS:
        with pytest.raises(InputError, match=f"was trained on patient {FIT[2]}"):
            score_segmenter(copied / folder(arm), tiles, [FIT[2], *TEST], part="x", before=access(copied))
    assert not (copied / "test_access.jsonl").exists()


def test_tiles_in_memory_train_as_their_files_do(tiles, tmp_path):
    images, masks = np.asarray(tiles.images[:12]), np.asarray(tiles.masks[:12])
    for folder, pictures in (("images", images), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / folder / f"{index:05d}.png")
    how = {"recipe": "embedded", "steps": 3, "batch": 2, "crop": 32}
    files = AnnotatedConfig(name="files", images="images", masks="masks", mpp=1.0)
    of_files = train_segmenter(
        SegmenterTraining(**how, data=(files,)), root=tmp_path, out=tmp_path / "a", seed=5, device="cpu"
    )
    tiles = TrainingTiles(name="tiles", images=images, masks=masks, mpp=1.0)
    of_tiles = train_on_tiles([tiles], NetworkTraining(**how), out=tmp_path / "b", seed=5, device="cpu")
    assert (of_files / WEIGHTS).read_bytes() == (of_tiles / WEIGHTS).read_bytes()
    hashes = [yaml.safe_load((tmp_path / run / "config.yaml").read_text())["data"] for run in "ab"]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((2, 16, 15), np.uint16)}, "tiles: images .* and masks"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8), "masks": np.zeros((0, 16, 16), int)}, "at least 1"),
        ({"masks": np.zeros((2, 16, 16))}, "dtype float64"),
        ({"mpp": 5.0}, "mpp is 5"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(changes, message, tmp_path):
    images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint16)
    tiles = TrainingTiles(**{"name": "tiles", "images": images, "masks": masks, "mpp": 1.0, **changes})
    with pytest.raises(InputError, match=message):
        train_on_tiles([tiles], NetworkTraining(recipe="judge", steps=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("side", "mpp", "crop"), [(64, 0.5, 64), (128, 0.25, 64), (50, 0.5, 48), (16, 0.5, 32), (256, 1.0, 512)]
)
def test_a_crop_is_as_wide_as_a_tile(side, mpp, crop):
    assert crop_for(side, mpp) == crop


def found_and_true(tiles: TileSet) -> tuple[np.ndarray, np.ndarray]:
    """Masks as a fair segmenter may find them: a pixel off, every fifth nucleus missed, some made up."""
    true = np.asarray(tiles.masks, np.int32)
    moved = np.roll(true, 1, axis=2)
    found = np.where(moved % 5 == 4, 0, moved)
    found[::3, :4, :4] = 99
    return found, true


@pytest.mark.parametrize("metric", ["pq", "aji", "f1", "iou"])
def test_the_statistic_of_all_patients_is_the_pooled_agreement(tiles, metric):
    found, true = found_and_true(tiles)
    statistic = nuclei_statistic(metric, nuclei_sums(found, true, tiles.patients))
    everyone = np.ones((1, 8))
    pooled = mask_agreement(found, true)[metric]
    assert 0.1 < pooled < 0.95
    assert statistic(everyone) == pytest.approx([pooled], abs=1e-12)


@pytest.mark.parametrize("metric", ["pq", "aji", "f1", "iou"])
def test_a_patient_drawn_twice_counts_as_twice_the_tiles(tiles, metric):
    found, true = found_and_true(tiles)
    patients = np.unique(tiles.patients)
    times = np.array([2, 0, 1, 0, 3, 1, 0, 1])
    rows = np.concatenate(
        [np.repeat(np.flatnonzero(tiles.patients == one), n) for one, n in zip(patients, times, strict=True)]
    )
    statistic = nuclei_statistic(metric, nuclei_sums(found, true, tiles.patients))
    drawn = statistic(times[None].astype(float))
    assert drawn == pytest.approx([mask_agreement(found[rows], true[rows])[metric]], abs=1e-12)


def test_a_patient_without_nuclei_scores_as_mask_agreement_says():
    empty = np.zeros((2, 8, 8), np.int32)
    spurious = empty.copy()
    spurious[0, :3, :3] = 1
    for metric in ("pq", "aji", "f1", "iou"):
        for found in (empty, spurious):
            value = nuclei_statistic(metric, nuclei_sums(found, empty, ["a", "a"]))(np.ones((1, 1)))
            assert value == pytest.approx([mask_agreement(found, empty)[metric]])


def test_an_unknown_metric_is_named():
    with pytest.raises(InputError, match="metric 'dice': unknown; expected one of pq, aji, f1, iou"):
        nuclei_statistic("dice", {})


def drawn_sums(patients: int, *, matched: int, seed: int) -> dict[str, dict[str, float]]:
    hits = matched + np.random.default_rng(seed).integers(0, 4, patients)
    return {
        f"p{index:02d}": {
            "predicted": 40,
            "true": 40,
            "matched": int(hit),
            "matched_iou": 0.8 * int(hit),
            "shared": 9 * int(hit),
            "joined": 400,
            "both": 10 * int(hit),
            "either": 400,
        }
        for index, hit in enumerate(hits)
    }


@pytest.mark.slow
def test_arms_are_compared_with_real_on_the_same_patients():
    runs = {
        "real": [[drawn_sums(12, matched=20, seed=seed) for seed in range(3)]],
        "synthetic-only": [[drawn_sums(12, matched=12, seed=seed) for seed in range(3)]] * 2,
        "both": [[drawn_sums(12, matched=20, seed=seed) for seed in range(3)]] * 2,
    }
    comparisons = compare_segmenters(runs)
    assert [(c["arm"], c["metric"]) for c in comparisons] == [
        (arm, metric) for arm in ("synthetic-only", "both") for metric in ("pq", "aji", "f1")
    ]
    for c in comparisons:
        assert (c["baseline"], c["n_patients"], c["per_patient"]) == ("real", 12, {})
        assert (c["n_seeds"], c["n_generators"]) == (3, 2)
        if c["arm"] == "both":
            assert [c["difference"], *c["interval"]] == pytest.approx([0, 0, 0], abs=1e-12)
            assert c["verdict"].startswith("no difference shown")
        else:
            assert c["interval"][0] <= c["difference"] <= c["interval"][1] < 0
            assert c["verdict"] == "harms"
    assert comparisons[0]["difference"] == pytest.approx(-8 * 0.8 / 40)


def test_few_patients_are_shown_one_by_one():
    runs = {arm: [[drawn_sums(3, matched=20 + hits, seed=0)]] for arm, hits in (("real", 0), ("both", 4))}
    for c in compare_segmenters(runs):
        assert c["interval"] is None
        assert list(c["per_patient"]) == ["p00", "p01", "p02"]
        assert all(value > 0 for value in c["per_patient"].values())
        assert c["verdict"] == "too few patients for an interval claim"


def test_runs_on_different_patients_are_not_compared():
    runs = {"real": [[drawn_sums(3, matched=20, seed=0)]], "both": [[drawn_sums(4, matched=20, seed=0)]]}
    with pytest.raises(InputError, match="arm real: a run was not scored on patient p03"):
        compare_segmenters(runs)
    with pytest.raises(InputError, match="an arm has no seed"):
        compare_segmenters({"both": runs["both"]})
