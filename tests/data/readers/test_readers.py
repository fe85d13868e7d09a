"""What holds for every reader of the registry, a new one, provenance, and the phantom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.phantoms import tiny_study
from tests.registries import keep_as_is

from nucleosynth.cli import main
from nucleosynth.config import Config, parse
from nucleosynth.data.phantom.tissue import PhantomConfig
from nucleosynth.data.readers import READERS, DataConfig, FrameReader, ReaderConfig, import_tiles
from nucleosynth.data.readers.folder import FolderConfig
from nucleosynth.data.readers.mitos_atypia import MitosAtypiaConfig
from nucleosynth.data.tileset import TileSet
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.status import plan_study

LEAST: dict[str, dict[str, object]] = {
    "table": {"table": "rows.csv", "image": "file"},
    "paired": {"dataset": "lab", "mask_kind": "instances"},
    "folder": {"dataset": "lab"},
    "mitos_atypia": {},
    "pictures": {"dataset": "lab", "images": "images", "masks": "masks", "mpp": 0.5},
    "phantom": {},
}
"""The settings that each reader cannot do without."""


class Study(Config):
    data: DataConfig


def least(name: str, **more: object) -> ReaderConfig:
    return parse(Study, {"data": {"reader": name, **LEAST[name], **more}}, source="study.yaml").data


@pytest.mark.parametrize("name", READERS)
def test_a_reader_is_registered_under_the_name_that_it_writes(name: str) -> None:
    kind = READERS.get(name)
    assert issubclass(kind, ReaderConfig)
    assert kind.model_fields["reader"].default == name
    assert least(name).reader == name


@pytest.mark.parametrize("name", READERS)
def test_settings_that_are_written_and_read_stay_the_same(name: str) -> None:
    data = least(name)
    study = Study(data=data)
    assert type(data) is READERS.get(name)
    assert parse(Study, study.model_dump(mode="json")) == study
    assert Study.model_validate_json(study.model_dump_json()) == study
    assert study.model_dump(mode="json")["data"] == data.model_dump(mode="json")
    assert set(study.model_dump()["data"]) == set(type(data).model_fields)


@pytest.mark.parametrize("name", READERS)
def test_an_unknown_key_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=r"^study.yaml: unknown key `data\.reder`; did you mean `reader`\?$"):
        least(name, reder=1)


@pytest.mark.parametrize("name", [name for name in READERS if issubclass(READERS.get(name), FrameReader)])
def test_a_folder_that_is_not_there_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such (folder|table)") as caught:
        import_tiles(least(name), TilesConfig(size=16), root=tmp_path / "nowhere", out=tmp_path / "out")
    assert "nowhere" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry with one reader more, for one test."""
    keep_as_is(READERS, monkeypatch)
    READERS.register("squares", "tests.data.readers.squares:SquaresConfig")


@pytest.mark.usefixtures("squares")
def test_a_new_reader_is_one_module_and_one_line(tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    words = ["--data.reader=squares", "--data.greys=[70, 80]", "--tiles.size=16", "--tiles.min-tissue=0"]
    assert main(["data", "import", *words, "--out", str(out)]) == 0
    tiles = TileSet.open(out)
    assert set(tiles.images[:, 0, 0, 0].tolist()) == {70, 80}
    assert tiles.info["provenance"]["data"]["greys"] == [70, 80]
    study = parse(StudyConfig, tiny_study(data={"reader": "squares", "licence": "CC0"}))
    assert study.stated["data"] == {
        "reader": "squares",
        "licence": "CC0",
        "folder": ".",
        "greys": [60, 90, 120],
    }
    assert plan_study(study)["classifier_runs"] > 0
    with pytest.raises(InputError, match=r"`data.greys.1`: .* \(got 'dark'\)"):
        parse(StudyConfig, tiny_study(data={"reader": "squares", "greys": [1, "dark"]}))
    with pytest.raises(InputError, match="unknown reader 'square'; did you mean squares"):
        parse(StudyConfig, tiny_study(data={"reader": "square"}))


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
        ({"reader": "dicom"}, "`data.reader`: unknown reader 'dicom'; known are table, paired"),
        ({"reader": "tabel"}, "did you mean table"),
        ({"dataset": "a"}, "`data.reader` is missing; known are table, paired"),
        ({"reader": ["table"]}, r"`data.reader`: unknown reader \['table'\]; did you mean table"),
        ({"reader": "folder"}, "`data.dataset` is missing"),
        ({"reader": "folder", "dataset": "a b"}, r"`data.dataset`: string should match .* \(got 'a b'\)"),
        (
            {"reader": "paired", "dataset": "a", "mask_kind": "binary", "mask": "x"},
            "`data`: `mask` must hold {stem}",
        ),
        (
            {"reader": "folder", "dataset": "a", "imags": "b"},
            "unknown key `data.imags`; did you mean `images`",
        ),
    ],
)
def test_an_unknown_reader_or_key_names_the_nearest(data: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(Study, {"data": data})


def test_a_section_in_a_list_names_its_keys() -> None:
    class Prior(Config):
        sources: tuple[Study, ...]

    wrong = {"reader": "folder", "dataset": "a", "imags": "b"}
    with pytest.raises(InputError, match=r"unknown key `sources\.1\.data\.imags`; did you mean `images`"):
        parse(Prior, {"sources": [{"data": {"reader": "phantom"}}, {"data": wrong}]})


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
