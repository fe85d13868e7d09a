"""Nuclei found in whole frames before they are cut into tiles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.nuclei.drawn import disc_labels, painted, write_pictures

from nucleosynth.cli import main
from nucleosynth.data.readers import read_frames
from nucleosynth.data.readers.paired import PairedConfig
from nucleosynth.data.readers.table import TableConfig
from nucleosynth.data.tileset import TileSet
from nucleosynth.segmentation.frames import segmented_frames
from nucleosynth.segmentation.segmenter import get_segmenter
from nucleosynth.segmentation.tilesets import mask_segmenters

CROSSING = disc_labels([(16, 16), (16, 32), (32, 16), (40, 40)], radius=4.0, size=128)  # on tile borders


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    (tmp_path / "frames" / "tumour").mkdir(parents=True)
    Image.fromarray(painted(CROSSING)).save(tmp_path / "frames" / "tumour" / "one.png")
    return tmp_path


def import_(root: Path, *words: str, mpp: Iterable[str] = ("--data.mpp", "0.5")) -> int:
    settings = ["--data.reader", "folder", "--data.dataset", "lab", "--data.images", "frames", *mpp]
    sizes = ["--tiles.size", "32", "--tiles.min-tissue", "0"]
    command = ["data", "import", "--data.root", str(root), "--out", str(root / "tiles")]
    return main([*command, *settings, *sizes, *words])


def test_tiles_carry_what_was_found_in_the_frame(frames):
    assert import_(frames, "--nuclei", "classical") == 0
    tiles = TileSet.open(frames / "tiles")
    assert tiles.masks is not None
    found = np.asarray(tiles.masks).reshape(4, 4, 32, 32).swapaxes(1, 2).reshape(128, 128)
    segmenter = get_segmenter("classical")
    whole = segmenter(painted(CROSSING)[None], 0.5)[0]
    assert whole.max() == 4
    assert np.array_equal(found > 0, whole > 0)
    assert mask_segmenters(tiles) == {segmenter.weights_hash}


def test_frames_without_scale_are_refused(frames, capsys):
    unknown = ("--tiles.mpp", "unknown")
    assert import_(frames, "--nuclei", "classical", mpp=unknown) == 2
    assert "nuclei are found by size" in capsys.readouterr().err


def test_annotated_nuclei_are_not_replaced(tmp_path, capsys):
    write_pictures(tmp_path, {"one": CROSSING})
    paired = ["--data.reader", "paired", "--data.dataset", "lab", "--data.mask_kind", "instances"]
    command = ["data", "import", "--data.root", str(tmp_path), "--out", str(tmp_path / "tiles")]
    assert main([*command, *paired, "--data.mpp", "0.5", "--nuclei", "classical"]) == 2
    assert "one.png: has nuclei already" in capsys.readouterr().err


def test_only_frames_without_nuclei_get_them(tmp_path):
    write_pictures(tmp_path, {"one": CROSSING, "two": CROSSING})
    (tmp_path / "rows.csv").write_text("id,image,mask\none,one.png,one.png\ntwo,two.png,\n")
    config = TableConfig(
        dataset="lab", table="rows.csv", images="images", masks="masks", image="{image}", mask="{mask}",
        mask_kind="instances", id="{id}", mpp=0.5,
    )  # fmt: skip
    segmenter = get_segmenter("classical")
    listed = segmented_frames(read_frames(config, root=tmp_path), segmenter=segmenter)
    annotated, found = (frame.read()[1] for frame in listed.frames)
    assert np.array_equal(annotated, CROSSING)
    assert np.array_equal(found, segmenter(painted(CROSSING, seed=1)[None], 0.5)[0])
    assert listed.provenance["masks"]["weights_hash"] == segmenter.weights_hash


def test_where_all_is_annotated_no_segmenter_is_recorded(tmp_path):
    write_pictures(tmp_path, {"one": CROSSING})
    found = read_frames(PairedConfig(dataset="lab", mask_kind="instances"), root=tmp_path)  # no mpp needed
    assert segmented_frames(found, segmenter=get_segmenter("classical")) is found


def test_phantom_tissue_has_its_own(tmp_path, capsys):
    command = ["data", "import", "--data.reader", "phantom", "--out", str(tmp_path / "tiles")]
    assert main([*command, "--nuclei", "classical"]) == 2
    assert "exact nuclei already" in capsys.readouterr().err
