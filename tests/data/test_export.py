from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleosynth.data import export
from nucleosynth.data.export import export_tiles
from nucleosynth.data.readers import import_tiles
from nucleosynth.data.readers.folder import FolderConfig
from nucleosynth.data.readers.table import TableConfig
from nucleosynth.data.tile import Rating, Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError

CLASSES = ["normal", "atypical figure"]


@pytest.fixture
def tiles(tmp_path: Path) -> TileSet:
    rng = np.random.default_rng(0)
    made = []
    for number, label in enumerate((0, 1, None, 1)):
        mask = np.zeros((16, 16), np.uint16)
        mask[2:6, 2:6] = 1
        mask[8:12, 2:6] = 300
        made.append(
            Tile(
                tile_id=f"set:A/{number}",
                image=rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
                mask=mask if number != 1 else None,
                patient_id=f"set:{number % 2}",
                label=label,
                ratings=(Rating("r1", "size", 2.0),) if number == 0 else (),
                mpp=0.5,
                extra={"part": "test, held out"},
            )
        )
    return write_tileset(tmp_path / "tiles", made, classes=CLASSES)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "tiles.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_hold_the_tiles_pixel_for_pixel(tiles: TileSet, tmp_path: Path) -> None:
    export_tiles(tiles, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["tile_id"] for row in rows] == tiles.column("tile_id")
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "out" / "images" / row["image"])), tiles.images[number]
        )
        if not row["mask"]:
            assert not tiles.has_mask[number]
            continue
        mask = tifffile.imread(tmp_path / "out" / "masks" / row["mask"])
        assert mask.dtype == np.uint16
        assert tiles.masks is not None
        np.testing.assert_array_equal(mask, tiles.masks[number])
    assert rows[2]["class"] == rows[2]["label"] == ""
    assert rows[0]["part"] == "test, held out"
    assert json.loads(rows[0]["ratings"]) == [{"rater": "r1", "criterion": "size", "value": 2.0}]


@pytest.mark.parametrize("layout", ["images", "imagefolder"])
def test_the_table_reader_reads_an_export_back(tiles: TileSet, tmp_path: Path, layout: str) -> None:
    export_tiles(tiles, tmp_path / "out", layout=layout)  # type: ignore[arg-type]
    config = TableConfig(
        table="tiles.csv", images="images", image="image", id="tile_id", masks="masks", mask="mask",
        mask_kind="instances", classes=tuple(CLASSES), label="class", patient="patient_id", mpp="mpp",
        extra=("part",),
    )  # fmt: skip
    again = import_tiles(config, TilesConfig(size=16), root=tmp_path / "out", out=tmp_path / "again")
    assert again.mpp == tiles.mpp
    np.testing.assert_array_equal(again.images, tiles.images)
    np.testing.assert_array_equal(again.has_mask, tiles.has_mask)
    assert again.masks is not None
    assert tiles.masks is not None
    np.testing.assert_array_equal(again.masks[0] > 0, tiles.masks[0] > 0)
    for name in ("tile_id", "patient_id", "label", "part"):
        assert again.column(name) == tiles.column(name)


def test_the_folder_reader_reads_an_imagefolder_back(tiles: TileSet, tmp_path: Path) -> None:
    export_tiles(tiles, tmp_path / "out", layout="imagefolder")
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == [
        "atypical_figure",
        "normal",
        "unlabelled",
    ]
    config = FolderConfig(dataset="x", images="images", classes=("normal", "atypical_figure"), mpp=0.5)
    again = import_tiles(config, TilesConfig(size=16), root=tmp_path / "out", out=tmp_path / "again")
    assert sorted(again.labels.tolist()) == sorted(tiles.labels.tolist())


def test_ids_that_are_equal_on_disk_keep_their_own_files(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    ids = ["set:a/b", "set:a b", "set:A_b", "../../x"]
    made = [Tile(tile_id=name, image=image + n, patient_id="set:1") for n, name in enumerate(ids)]
    export_tiles(write_tileset(tmp_path / "tiles", made, classes=[]), tmp_path / "out")
    files = sorted((tmp_path / "out" / "images").iterdir())
    assert len({path.name.lower() for path in files}) == 4
    assert sorted(int(np.asarray(Image.open(path)).max()) for path in files) == [0, 1, 2, 3]
    assert not (tmp_path / "out" / "masks").exists()


@pytest.mark.parametrize("classes", [["a b", "a/b"], ["A", "a"], ["unlabelled"]])
def test_classes_that_would_share_a_folder_are_refused(tmp_path: Path, classes: list[str]) -> None:
    tile = Tile(tile_id="set:1", image=np.zeros((16, 16, 3), np.uint8), patient_id="set:1", label=0)
    tiles = write_tileset(tmp_path / "tiles", [tile], classes=classes)
    with pytest.raises(InputError, match="no folder names of their own"):
        export_tiles(tiles, tmp_path / "out", layout="imagefolder")
    export_tiles(tiles, tmp_path / "out")


def test_an_export_appears_whole_or_not_at_all(
    tiles: TileSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(export, "_write_table", broken)
    with pytest.raises(RuntimeError, match="killed"):
        export_tiles(tiles, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiles"]


def test_an_export_never_replaces_files(tiles: TileSet, tmp_path: Path) -> None:
    export_tiles(tiles, tmp_path / "out")
    with pytest.raises(InputError, match="already exists"):
        export_tiles(tiles, tmp_path / "out")
