"""Bad images, masks and segmenter files as a user meets them: one line, or nothing found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.pairs import mask, paired, picture
from tests.segmentation.scripted import write_hdyolo, write_instanseg

from nucleosynth.cli import main
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.segmentation.segmenter import segmenter_names

Refused = Callable[..., str]


def split_of(tiles: TileSet) -> list[str]:
    """Words that name a split file with every patient in its training part."""
    path = tiles.path.with_name("whole.json")
    Split(rule="x", folds=[Fold(train=sorted(set(tiles.patients)), validation=[], test=[])]).save(path)
    return ["--split", str(path)]


def test_an_alpha_channel_is_left_out(pairs: Path, tmp_path: Path) -> None:
    assert main(paired(pairs)) == 0
    plain = TileSet.open(pairs.parent / "tiles")
    path = pairs / "images" / "p1_a.png"
    picture(pairs, np.dstack([np.asarray(Image.open(path)), np.eye(32, dtype=np.uint8)]))
    assert main([*paired(pairs)[:-1], str(tmp_path / "again")]) == 0
    assert TileSet.open(tmp_path / "again").content_hash == plain.content_hash


def test_white_frames_hold_no_tissue_and_black_ones_no_nuclei(pairs: Path, refused: Refused) -> None:
    picture(pairs, np.full((32, 32, 3), 255, np.uint8))
    shutil.copy(pairs / "images" / "p1_a.png", pairs / "images" / "p2_a.png")
    assert "none of 8 tiles reaches the tissue share" in refused(*paired(pairs))
    picture(pairs, np.zeros((32, 32, 3), np.uint8))
    mask(pairs, np.zeros((32, 32), np.uint8))
    assert main(paired(pairs)) == 0
    tiles = TileSet.open(pairs.parent / "tiles")
    assert len(tiles) == 4  # of the black frame
    assert not tiles.masks.any()
    said = refused("layouts", "fit", tiles.path, "--out", pairs.parent / "layouts.json", *split_of(tiles))
    assert "0 whole nuclei in 4 tiles" in said


def test_tiles_of_unknown_scale_cannot_be_segmented(pairs: Path, refused: Refused) -> None:
    assert main([*paired(pairs, mpp=None), "--tiles.mpp=unknown"]) == 0
    assert "µm/px is unknown" in refused(
        "segment", pairs.parent / "tiles", "--replace", "--out", pairs.parent / "masked"
    )
    tiles = TileSet.open(pairs.parent / "tiles")
    words = ["layouts", "fit", tiles.path, *split_of(tiles), "--out", tiles.path.with_name("layouts.json")]
    assert "µm/px is unknown" in refused(*words)


@pytest.mark.parametrize("backend", [*segmenter_names(), "torchscript:instanseg", "torchscript:hdyolo"])
def test_white_and_black_tiles_are_segmented_to_nothing(backend: str, tmp_path: Path) -> None:
    pixels = [np.full((32, 32, 3), value, np.uint8) for value in (255, 0)]
    rows = [Tile(tile_id=f"d:{i}", image=image, patient_id="d:p", mpp=0.5) for i, image in enumerate(pixels)]
    tiles = write_tileset(tmp_path / "blank", rows, classes=[])
    if backend.startswith("torchscript"):
        write = write_hdyolo if backend.endswith("hdyolo") else write_instanseg
        write(tmp_path / "model.pt")
        backend = f"{backend}:{tmp_path / 'model.pt'}"
    assert main(["segment", str(tiles.path), "--backend", backend, "--out", str(tmp_path / "masked")]) == 0
    masked = TileSet.open(tmp_path / "masked")
    assert masked.has_mask.all()
    assert not masked.masks.any()


def test_files_that_are_no_segmenter(tiles: TileSet, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "plain.pt").write_bytes(b"not a model")
    write_hdyolo(tmp_path / "hdyolo.pt")
    write_instanseg(tmp_path / "instanseg.pt")
    for request, expected in (
        ("torchscript:instanseg:plain.pt", "is not a TorchScript file"),
        ("torchscript:instanseg:hdyolo.pt", "does not follow the InstanSeg contract"),
        ("torchscript:hdyolo:instanseg.pt", "does not follow the HDYolo contract"),
        ("torchscript:hdyolo:absent.pt", "no such file"),
        ("weights:absent", "absent"),
    ):
        *kind, name = request.split(":")
        backend = ":".join([*kind, str(tmp_path / name)])
        words = ["segment", tiles.path, "--replace", "--backend", backend, "--out", tmp_path / "masked"]
        assert expected in refused(*words)
        assert not (tmp_path / "masked").exists()


def test_nuclei_that_cannot_be_compared(
    pairs: Path, tiles: TileSet, tmp_path: Path, refused: Refused
) -> None:
    assert main([*paired(pairs, mpp=None), "--tiles.mpp=unknown"]) == 0
    unknown, out = pairs.parent / "tiles", tmp_path / "m"
    assert "µm/px is unknown" in refused("evaluate", "morphology", unknown, unknown, "--out", out)
    assert "tiles: its µm/px is unknown" in refused(
        "evaluate", "morphology", tiles.path, unknown, "--out", out
    )
    same = ["evaluate", "morphology", tiles.path, tiles.path, "--out", out]
    assert "classical" in refused(*same, "--found-by", "clasical")
    assert "grade 1, grade 2, grade 3" in refused(*same, "--benign-class", "normal")
    assert "1 to 50" in refused(*same, "--benign-um", "0")
    assert "one of them" in refused(*same, "--benign-um", "6.4", "--benign-class", "grade 1")
    assert not out.exists()
