"""Masks of whole TileSets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.evaluate.nuclei.mask_scores import mask_scores
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.segmenter import get_segmenter, segment
from nucleosynth.segmentation.tilesets import add_masks

DRAWN = PhantomConfig(patients=3, tiles=12, seed=5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> TileSet:
    """Real tiles of known nuclei: three patients with four tiles each."""
    out = tmp_path_factory.mktemp("drawn") / "tiles"
    return write_tileset(
        out, phantom_tiles(DRAWN, size=64, mpp=0.5), classes=CLASSES, ordinal=True, licence="CC0-1.0"
    )


@pytest.fixture(scope="module")
def bare(drawn, tmp_path_factory) -> TileSet:
    """The same tiles without masks."""
    out = tmp_path_factory.mktemp("bare") / "tiles"
    unmasked = (replace(tile, mask=None) for tile in drawn.tiles())
    return write_tileset(out, unmasked, classes=CLASSES, ordinal=True, licence="CC0-1.0")


def as_synthetic(tiles: TileSet, out, *, patients: int) -> TileSet:
    """Pretend that the tiles of the first patients are samples, each the image of its own donor."""
    donors = tiles.rows_of(sorted(set(tiles.patients.tolist()))[:patients])
    made = (
        replace(
            tile,
            tile_id=f"synthetic:{index}",
            patient_id=None,
            patient_known=False,
            synthetic=True,
            donor_tile_id=tile.tile_id,
            donor_patient_id=tile.patient_id,
        )
        for index, tile in enumerate(tiles.tiles(donors))
    )
    return write_tileset(out, made, classes=CLASSES)


def test_masks_are_those_of_the_segmenter_and_all_else_stays(bare, tmp_path):
    masked = add_masks(bare, tmp_path / "masked")
    masked.verify()
    np.testing.assert_array_equal(masked.masks, segment(np.asarray(bare.images), 0.5))
    np.testing.assert_array_equal(masked.images, bare.images)
    same = [name for name in bare.table.column_names if name not in ("has_mask", "mask_sha256")]
    assert masked.table.select(same).equals(bare.table.select(same))
    assert (masked.classes, masked.ordinal, masked.info["licence"]) == (CLASSES, True, "CC0-1.0")
    assert masked.info["provenance"]["masks"] == {
        "name": "embedded",
        "weights_hash": get_segmenter("embedded").weights_hash,
        "tiles": bare.content_hash,
    }


def test_masks_are_not_replaced_by_accident(drawn, tmp_path):
    with pytest.raises(InputError, match="12 of 12 tiles have masks already"):
        add_masks(drawn, tmp_path / "masked")
    assert not (tmp_path / "masked").exists()
    replaced = add_masks(drawn, tmp_path / "masked", replace=True)
    assert not np.array_equal(replaced.masks, drawn.masks)


def test_tiles_of_unknown_scale_are_refused(bare, tmp_path):
    unknown = write_tileset(
        tmp_path / "unknown", (replace(t, mpp=None) for t in bare.tiles()), classes=CLASSES
    )
    with pytest.raises(InputError, match="its µm/px is unknown"):
        add_masks(unknown, tmp_path / "masked")


def test_the_ceiling_is_measured_on_patients_without_donors(drawn, tmp_path):
    synthetic = as_synthetic(drawn, tmp_path / "synthetic", patients=2)
    scores = mask_scores(drawn, synthetic)
    unused = drawn.rows_of(set(drawn.patients.tolist()) - set(synthetic.patients.tolist()))
    found = segment(np.asarray(drawn.images[unused]), 0.5, backend="judge")
    expected = mask_agreement(found, drawn.masks[unused])
    assert (scores["n"], scores["real_tiles"], scores["held_out"]) == (8, 4, True)
    assert scores["ceiling"] == pytest.approx(expected["iou"])
    assert list(scores["instances"]) == ["pq", "aji", "f1"]
    for name, placed in scores["instances"].items():
        assert placed["ceiling"] == pytest.approx(expected[name])
        assert placed["ceiling_chance"] == pytest.approx(expected["chance"][name])
        assert 0 <= placed["chance"] < placed["value"] <= 1


def test_samples_as_good_as_their_donors_reach_the_ceiling_exactly(drawn, tmp_path):
    synthetic = as_synthetic(drawn, tmp_path / "synthetic", patients=3)
    scores = mask_scores(drawn, synthetic)
    assert scores["held_out"] is False
    assert scores["iou"] == scores["ceiling"]
    assert scores["corrected"] == 1.0
    for placed in scores["instances"].values():
        assert (placed["value"], placed["chance"]) == (placed["ceiling"], placed["ceiling_chance"])


def test_the_segmenter_of_the_masks_cannot_score_them(bare, tmp_path):
    masked = add_masks(bare, tmp_path / "masked", backend="judge")
    synthetic = as_synthetic(masked, tmp_path / "synthetic", patients=2)
    with pytest.raises(InputError, match="made the masks that it would score"):
        mask_scores(masked, synthetic)


def test_against_made_masks_the_score_is_consistency_without_a_ceiling(drawn, bare, tmp_path):
    masked = add_masks(bare, tmp_path / "masked", backend="classical")
    synthetic = as_synthetic(drawn, tmp_path / "synthetic", patients=2)
    scores = mask_scores(masked, synthetic)
    assert (scores["kind"], scores["ceiling"]) == ("consistency", None)
    assert scores["instances"]["pq"]["ceiling"] is scores["instances"]["pq"]["ceiling_chance"] is None
    assert scores["iou"] > scores["chance"]


def test_tiles_without_masks_cannot_be_scored(drawn, bare, tmp_path):
    synthetic = as_synthetic(bare, tmp_path / "synthetic", patients=2)
    with pytest.raises(InputError, match="no tile has a mask"):
        mask_scores(drawn, synthetic)
