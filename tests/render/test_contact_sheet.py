from __future__ import annotations

import re

import numpy as np
import pytest

from nucleosynth.data.tile import Tile
from nucleosynth.data.tileset import TileSet, write_tileset
from nucleosynth.errors import InputError
from nucleosynth.render.contact_sheet import contact_sheet
from nucleosynth.render.grid import png_data_uri


@pytest.fixture
def tiles(tmp_path) -> TileSet:
    """Four tiles of class 0, two of class 1, one unlabelled; three patients; masks on the first two."""
    random = np.random.default_rng(0)
    labels, patients = [0, 0, 0, 0, 1, 1, None], ["d:a", "d:a", "d:b", "d:b", "d:a", "d:<i>c", "d:b"]
    mask = np.zeros((16, 16), np.uint16)
    mask[4:9, 5:11] = 1
    rows = (
        Tile(
            tile_id=f"d:{i}",
            image=random.integers(0, 256, (16, 16, 3), dtype=np.uint8),
            mask=mask if i < 2 else None,
            patient_id=patient,
            label=label,
            mpp=0.5,
        )
        for i, (label, patient) in enumerate(zip(labels, patients, strict=True))
    )
    return write_tileset(
        tmp_path / "tiles", rows, classes=["normal", "<script>atypical"], licence="CC0 & more"
    )


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", page)
    return [[head, *re.findall(r"<td[^>]*>(.*?)</td>", rest)] for head, rest in rows if "<td" in rest]


def test_counts_by_class_and_patient(tiles, tmp_path) -> None:
    table = cells(contact_sheet(tiles, tmp_path / "sheet.html").read_text())
    assert table[0][:2] == ["normal", "4"]
    assert [row[3] for row in table[:3]] == ["2", "2", "1"]
    assert table[2][0] == "unlabelled"
    assert table[3:] == [["d:&lt;i&gt;c", "1", "0", "1", "0", "0"],
                         ["d:a", "3", "2", "1", "0", "2"], ["d:b", "3", "2", "0", "1", "0"]]  # fmt: skip


def test_shows_tiles_with_outlines_and_loads_nothing(tiles, tmp_path) -> None:
    page = contact_sheet(tiles, tmp_path / "sheet.html").read_text()
    for image in tiles.images:
        assert png_data_uri(image) in page
    assert page.count('class="outlines"') == 2
    assert 'id="outlines"' in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page


def test_sample_is_bounded_and_a_function_of_the_seed(tiles, tmp_path) -> None:
    one, again, other = (
        contact_sheet(tiles, tmp_path / f"{i}.html", per_group=2, seed=seed).read_text()
        for i, seed in enumerate((0, 0, 3))
    )
    assert one == again != other
    assert one.count('class="pixels"') == 2 + 2 + 1


def test_no_toggle_where_no_tile_has_a_mask(tmp_path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    plain = write_tileset(tmp_path / "t", [Tile(tile_id="d:0", image=image, patient_id="d:p")], classes=[])
    page = contact_sheet(plain, tmp_path / "sheet.html").read_text()
    assert 'id="outlines"' not in page
    assert "unknown" in page


def test_a_sheet_of_nothing_is_refused(tiles, tmp_path) -> None:
    with pytest.raises(InputError, match="per_group"):
        contact_sheet(tiles, tmp_path / "sheet.html", per_group=0)
