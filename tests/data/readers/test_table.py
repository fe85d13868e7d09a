from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nucleosynth.config import parse
from nucleosynth.data.images import read_image
from nucleosynth.data.readers import FrameSet, import_tiles, read_frames
from nucleosynth.data.readers.cells import typed
from nucleosynth.data.readers.table import TableConfig
from nucleosynth.data.tile import Rating
from nucleosynth.data.tiling import TilesConfig
from nucleosynth.errors import InputError

AMIBR = {
    "table": "AMI-BR.csv",
    "images": "patches",
    "image": "{dataset}_{uid}.webp",
    "classes": ["normal", "atypical"],
    "label": "majority_atypical",
    "patient": "{dataset}:{slide}",
    "raters": ["expert1_atypical", "expert2_atypical", "expert3_atypical"],
    "mpp": 0.25,
}
HEADER = ["dataset", "uid", "slide", "expert1", "expert2", "atypical", "mpp"]
ROWS = [
    ["SET1", "1", "002", "False", "False", "False", "0.25"],
    ["SET1", "2", "002", "True", "", "True", "0.25"],
    ["SET2", "1", "002", "True", "False", "", "0.25"],
]
CONFIG: dict[str, object] = {
    "table": "cells.csv",
    "images": "patches",
    "image": "{dataset}_{uid}.png",
    "classes": ["normal", "atypical"],
    "label": "atypical",
    "patient": "{dataset}:{slide}",
    "raters": ["expert1", "expert2"],
    "mpp": 0.25,
}


def write_csv(
    path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, sep: str = ","
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=sep).writerows([header, *rows])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three patches in nested folders, and their table."""
    for number, row in enumerate(ROWS):
        folder = tmp_path / "patches" / "some" / f"part{number}"
        folder.mkdir(parents=True)
        image = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{row[0]}_{row[1]}.png")
    write_csv(tmp_path / "cells.csv", ROWS)
    return tmp_path


def read(root: Path, **changes: object) -> FrameSet:
    return read_frames(parse(TableConfig, {**CONFIG, **changes}), root=root)


def refused(root: Path, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        read(root, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_become_frames(root: Path) -> None:
    frames = read(root).frames
    assert [frame.frame_id for frame in frames] == ["cells:SET1_1", "cells:SET1_2", "cells:SET2_1"]
    assert [frame.patient_id for frame in frames] == ["SET1:002", "SET1:002", "SET2:002"]
    assert [frame.label for frame in frames] == [0, 1, None]
    assert frames[0].ratings == (Rating("expert1", "label", 0.0), Rating("expert2", "label", 0.0))
    assert frames[1].ratings == (Rating("expert1", "label", 1.0),)
    assert all(frame.patient_known and frame.mpp == 0.25 for frame in frames)
    assert frames[2].path.name == "SET2_1.png"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_recognised(root: Path, separator: str) -> None:
    write_csv(root / "cells.csv", ROWS, sep=separator)
    assert len(read(root).frames) == 3


def test_a_byte_order_mark_is_no_part_of_a_column(root: Path) -> None:
    path = root / "cells.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(root).frames) == 3


def test_parquet_is_read_as_csv_is(root: Path) -> None:
    table = pa.table(
        {
            "dataset": [row[0] for row in ROWS],
            "uid": pa.array([1.0, 2.0, 1.0]),
            "slide": [row[2] for row in ROWS],
            "expert1": pa.array([False, True, True]),
            "expert2": pa.array([False, None, False]),
            "atypical": pa.array([0, 1, None]),
            "mpp": [0.25] * 3,
        }
    )
    pq.write_table(table, root / "cells.parquet")
    for one, other in zip(read(root).frames, read(root, table="cells.parquet").frames, strict=True):
        for name in ("frame_id", "patient_id", "label", "ratings", "path"):
            assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize(
    ("cells", "classes", "labels"),
    [
        (["normal", "Atypical", ""], ["normal", "atypical"], [0, 1, None]),
        (["0", "1", "nan"], ["normal", "atypical"], [0, 1, None]),
        (["1.0", "0.0", "NA"], ["normal", "atypical"], [1, 0, None]),
        (["TRUE", "no", "None"], ["normal", "atypical"], [1, 0, None]),
        (["1", "3", "2"], ["1", "2", "3"], [0, 2, 1]),
        (["none", "mild", ""], ["none", "mild"], [0, 1, None]),
    ],
)
def test_labels_are_names_then_truth_then_indices(
    root: Path, cells: list[str], classes: list[str], labels: list[int | None]
) -> None:
    write_csv(root / "cells.csv", [[*row[:5], cell, row[6]] for row, cell in zip(ROWS, cells, strict=True)])
    assert [frame.label for frame in read(root, classes=classes, raters=[]).frames] == labels


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "1e9", "true-ish", "inf"])
def test_labels_outside_the_classes_are_refused(root: Path, cell: str) -> None:
    write_csv(root / "cells.csv", [[*ROWS[0][:5], cell, "0.25"]])
    text = refused(root)
    assert f"cells.csv row 1: label `{cell}` is outside the classes normal, atypical (0-1)" in text


def test_truth_is_no_label_of_three_classes(root: Path) -> None:
    assert "outside the classes" in refused(root, classes=["1", "2", "3"], raters=[])


def test_without_a_patient_each_image_is_one_and_is_said_to_be_unknown(root: Path) -> None:
    frames = read(root, patient=None).frames
    assert [frame.patient_id for frame in frames] == [frame.frame_id for frame in frames]
    assert not any(frame.patient_known for frame in frames)


def test_an_empty_patient_is_unknown_too(root: Path) -> None:
    write_csv(root / "cells.csv", [ROWS[0], [*ROWS[1][:2], "", *ROWS[1][3:]]])
    known, unknown = read(root).frames
    assert (known.patient_known, unknown.patient_known) == (True, False)
    assert unknown.patient_id == "cells:SET1_2"


def test_plain_column_names_serve_as_templates(root: Path) -> None:
    header = [*HEADER, "file"]
    write_csv(root / "cells.csv", [[*row, f"{row[0]}_{row[1]}.png"] for row in ROWS], header)
    frames = read(root, image="file", patient="slide", slide="{dataset}-{slide}", dataset="mine").frames
    assert {frame.patient_id for frame in frames} == {"mine:002"}
    assert frames[2].slide_id == "mine:SET2-002"


def test_scale_can_stand_in_a_column(root: Path) -> None:
    assert [frame.mpp for frame in read(root, mpp="mpp").frames] == [0.25] * 3
    write_csv(root / "cells.csv", [[*ROWS[0][:6], "x40"]])
    assert "mpp `x40` in column mpp is not a number" in refused(root, mpp="mpp")


def test_extra_columns_survive_with_their_type(root: Path, tmp_path: Path) -> None:
    header = [*HEADER, "age", "stage", "score"]
    more = [["61", "II", "0.5"], ["58", "", ""], ["70", "I", "1"]]
    write_csv(root / "cells.csv", [[*a, *b] for a, b in zip(ROWS, more, strict=True)], header)
    config = parse(TableConfig, {**CONFIG, "extra": ["age", "stage", "score", "slide"]})
    tiles = import_tiles(config, TilesConfig(size=32), root=root, out=tmp_path / "tiles")
    assert tiles.column("age") == [61, 58, 70]
    assert tiles.column("stage") == ["II", "", "I"]
    np.testing.assert_equal(tiles.column("score"), [0.5, float("nan"), 1.0])
    assert tiles.column("slide") == ["002"] * 3


def test_numbers_whose_zeros_matter_stay_text() -> None:
    assert typed(["002", "010"]) == ["002", "010"]
    assert typed(["0.5", "0"]) == [0.5, 0.0]
    assert typed(["", ""]) == ["", ""]


def test_masks_are_found_next_to_the_images(root: Path, tmp_path: Path) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 4:12] = 7
    (root / "masks").mkdir()
    Image.fromarray(mask).save(root / "masks" / "SET1_1_m.png")
    header = [*HEADER, "nuclei"]
    write_csv(root / "cells.csv", [[*ROWS[0], "SET1_1_m.png"], [*ROWS[1], ""]], header)
    config = parse(TableConfig, {**CONFIG, "masks": "masks", "mask": "nuclei", "mask_kind": "instances"})
    tiles = import_tiles(config, TilesConfig(size=32), root=root, out=tmp_path / "tiles")
    assert tiles.has_mask.tolist() == [True, False]
    assert tiles.masks is not None
    np.testing.assert_array_equal(tiles.masks[0], mask // 7)


BAD: dict[str, tuple[Callable[[Path], object], dict[str, object], str]] = {
    "no table": (lambda root: (root / "cells.csv").unlink(), {}, "cells.csv: no such table"),
    "empty table": (lambda root: (root / "cells.csv").write_text(""), {}, "is empty"),
    "header alone": (lambda root: write_csv(root / "cells.csv", []), {}, "no row below its header"),
    "not a table": (lambda root: (root / "cells.csv").write_bytes(b"\xff\xfe\x00\xd8"), {}, "UTF-8"),
    "no parquet": (lambda root: (root / "t.parquet").write_text("x"), {"table": "t.parquet"}, "as Parquet"),
    "label column": (
        lambda root: None, {"label": "atypcal"},
        "no column `atypcal` (data.label); did you mean `atypical`?",
    ),
    "patient column": (
        lambda root: None, {"patient": "{slid}"}, "no column `slid` (data.patient); did you mean `slide`?",
    ),
    "rater column": (lambda root: None, {"raters": ["expert7"]}, "(data.raters); did you mean `expert"),
    "mpp column": (lambda root: None, {"mpp": "mp"}, "no column `mp` (data.mpp); did you mean `mpp`?"),
    "ragged row": (
        lambda root: write_csv(root / "cells.csv", [ROWS[0], ROWS[1][:-1]]), {},
        "cells.csv row 2: has 6 fields, the header 7",
    ),
    "column twice": (
        lambda root: write_csv(root / "cells.csv", [ROWS[0]], [*HEADER[:-1], "uid"]), {"mpp": 0.25},
        "column `uid` occurs twice",
    ),
    "missing image": (
        lambda root: write_csv(root / "cells.csv", [["SET1", "11", *ROWS[0][2:]]]), {},
        "cells.csv row 1: no file SET1_11.png below",
    ),
    "nearest image": (
        lambda root: write_csv(root / "cells.csv", [["SET1", "11", *ROWS[0][2:]]]), {},
        "did you mean `SET1_1.png`?",
    ),
    "no image named": (
        lambda root: write_csv(root / "cells.csv", [["SET1", "", *ROWS[0][2:]]]), {}, "row 1: names no image",
    ),
    "image twice": (
        lambda root: write_csv(root / "cells.csv", [ROWS[0], ROWS[0]]), {},
        "its id cells:SET1_1 is already that of",
    ),
    "two images of one name": (
        lambda root: Image.new("RGB", (32, 32)).save(root / "patches" / "some" / "SET1_1.png"), {},
        "give the folder as well",
    ),
    "empty folder": (lambda root: (root / "none").mkdir(), {"images": "none"}, "none: holds no"),
    "no folder": (lambda root: None, {"images": "nowhere"}, "nowhere: no such folder"),
    "rater's vote": (
        lambda root: write_csv(root / "cells.csv", [[*ROWS[0][:4], "maybe", *ROWS[0][5:]]]), {},
        "row 1, column expert2: label `maybe`",
    ),
    "reserved column": (lambda root: None, {"extra": ["mpp"]}, "`mpp` is one of every TileSet"),
    "mask without kind": (lambda root: None, {"mask": "uid"}, "`mask` and `mask_kind` need each other"),
    "absurd scale": (lambda root: None, {"mpp": 250}, "0.25 is usual at x40"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_in_one_line(root: Path, name: str) -> None:
    damage, changes, expected = BAD[name]
    damage(root)
    assert expected in refused(root, **changes)


@pytest.mark.real
def test_amibr_is_read_with_its_published_numbers(real_data: Callable[[str], Path]) -> None:
    root = real_data("amibr")
    found = read_frames(parse(TableConfig, AMIBR), root=root)
    labels = [frame.label for frame in found.frames]
    counts = [int(sum(rating.value for rating in frame.ratings)) for frame in found.frames]
    assert len(found.frames) == 3720
    assert round(sum(label == 1 for label in labels) / len(labels), 2) == 0.22
    assert len({frame.patient_id for frame in found.frames}) == 202
    assert Counter(counts) == {0: 2496, 1: 392, 2: 420, 3: 412}
    assert [count >= 2 for count in counts] == [label == 1 for label in labels]


@pytest.mark.real
def test_an_amibr_patch_is_one_tile_at_half_its_scale(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    root = real_data("amibr")
    lines = (root / "AMI-BR.csv").read_text().splitlines()[:21]
    (tmp_path / "few.csv").write_text("\n".join(lines))
    config = parse(TableConfig, {**AMIBR, "table": str(tmp_path / "few.csv")})
    tiles = import_tiles(config, TilesConfig(size=64, mpp=0.5), root=root, out=tmp_path / "tiles")
    assert len(tiles) == 20
    assert (tiles.size, tiles.mpp) == ((64, 64), 0.5)
    for row, frame in enumerate(read_frames(config, root=root).frames):
        mean = read_image(frame.path).reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        assert np.abs(tiles.images[row] - mean).max() <= 0.5
