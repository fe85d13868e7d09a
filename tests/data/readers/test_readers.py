"""What holds for all readers together: the union of their settings, provenance, the phantom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleosynth.config import Config, parse
from nucleosynth.data.phantom.tissue import PhantomConfig
from nucleosynth.data.readers import DataConfig, FolderConfig, MitosAtypiaConfig, import_tiles
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError


class Study(Config):
    data: DataConfig


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"reader": "phantom", "patients": 3}, PhantomConfig),
        ({"reader": "folder", "dataset": "a"}, FolderConfig),
        ({"reader": "mitos_atypia", "level": "x40"}, MitosAtypiaConfig),
    ],
)
def test_the_reader_key_chooses_the_settings(data: dict[str, object], kind: type[Config]) -> None:
    assert type(parse(Study, {"data": data}).data) is kind


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"reader": "dicom"}, "`data.reader`: unknown `dicom`; known are: table, paired"),
        ({"reader": "tabel"}, "did you mean `table`"),
        ({"dataset": "a"}, "`data.reader` is missing; known are table, paired"),
        (
            {"reader": "folder", "dataset": "a", "imags": "b"},
            "unknown key `data.imags`; did you mean `images`",
        ),
    ],
)
def test_an_unknown_reader_or_key_names_the_nearest(data: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(Study, {"data": data})


def test_provenance_names_settings_and_licence_but_no_machine(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(tmp_path / "in" / "a" / "1.png")
    config = FolderConfig(dataset="set", licence="CC-BY-4.0", mpp=0.5)
    tiles = import_tiles(config, TilesConfig(size=16), root=tmp_path / "in", out=tmp_path / "out")
    assert tiles.info["licence"] == "CC-BY-4.0"
    provenance = tiles.info["provenance"]
    assert (provenance["frames"], provenance["data"]["reader"], provenance["tiles"]["size"]) == (
        1,
        "folder",
        16,
    )
    assert str(tmp_path) not in (tmp_path / "out" / "tileset.json").read_text()


def test_the_same_input_gives_the_same_content_hash(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 200, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "in" / "a" / f"{number}.png")
    config = FolderConfig(dataset="set", mpp=0.4)
    hashes = {
        import_tiles(
            config, TilesConfig(size=16, mpp=0.5), root=tmp_path / "in", out=tmp_path / f"{n}", workers=n
        ).content_hash
        for n in (1, 4)
    }
    assert len(hashes) == 1


def test_the_phantom_is_a_reader(tmp_path: Path) -> None:
    config = PhantomConfig(patients=3, tiles=6, seed=1)
    tiles = import_tiles(config, TilesConfig(size=32), root=tmp_path, out=tmp_path / "out")
    assert (len(tiles), tiles.size, tiles.mpp, tiles.ordinal) == (6, (32, 32), 0.5, True)
    with pytest.raises(InputError, match="known scale"):
        import_tiles(config, TilesConfig(size=32, mpp="unknown"), root=tmp_path, out=tmp_path / "no")


def test_settings_load_without_heavy_libraries() -> None:
    code = (
        "import sys, nucleosynth.data.readers; "
        "print([m for m in ('torch', 'scipy', 'skimage', 'sklearn', 'pandas', 'matplotlib', 'tifffile') "
        "if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
