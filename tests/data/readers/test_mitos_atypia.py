from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.data.readers.mitos_tree import SCORES, Region, write_tree

from nucleosynth.data.readers import FrameSet, import_tiles, read_frames
from nucleosynth.data.readers.mitos_atypia import MitosAtypiaConfig
from nucleosynth.data.tile import Rating
from nucleosynth.data.tiling import Frame, TilesConfig, tile_frames
from nucleosynth.errors import InputError


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("mitos"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree to be damaged: one small region under both scanners."""
    return write_tree(tmp_path, names=("03_00B",))


def read(root: Path, **settings: object) -> FrameSet:
    return read_frames(MitosAtypiaConfig(**settings), root=root)  # type: ignore[arg-type]


def by_name(found: FrameSet) -> dict[str, Frame]:
    return {frame.frame_id.removeprefix("mitos-atypia-14:"): frame for frame in found.frames}


def refused(root: Path, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        read(root, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_frame_of_both_scanners_is_found_once(tree: Path) -> None:
    frames = by_name(read(tree))
    assert set(frames) == {letter + name for letter in "AH" for name in SCORES}
    assert len(by_name(read(tree, level="x40"))) == 4 * len(frames)
    assert set(by_name(read(tree, scanners=["hamamatsu"]))) == {f"H{name}" for name in SCORES}


def test_scans_of_one_slide_are_one_patient_and_two_slides(tree: Path) -> None:
    frames = by_name(read(tree))
    a, h = frames["A03_00A"], frames["H03_00A"]
    assert a.patient_id == h.patient_id == "mitos-atypia-14:03"
    assert (a.slide_id, h.slide_id) == ("mitos-atypia-14:A03", "mitos-atypia-14:H03")
    assert (a.scanner, h.scanner) == ("Aperio Scanscope XT", "Hamamatsu NanoZoomer 2.0-HT")
    assert (a.mpp, h.mpp) == (0.491, 0.4545)
    assert len({frame.patient_id for frame in frames.values()}) == 3


def test_scores_are_ordinal_classes_and_an_empty_file_is_no_label(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(tree)
    assert (found.classes, found.ordinal) == (("score-1", "score-2", "score-3"), True)
    for name, frame in by_name(found).items():
        score = SCORES[name[1:]]
        assert frame.label == (None if score is None else score - 1)
    assert "2 of 12 frames are unlabelled" in caplog.text


def test_the_challenge_names_training_and_test_slides(tree: Path) -> None:
    parts = {frame.patient_id[-2:]: frame.extra["part"] for frame in read(tree).frames}
    assert parts == {"03": "training", "10": "training", "06": "test"}


def test_subframes_inherit_the_score_and_have_criteria_of_their_own(tree: Path) -> None:
    frames = by_name(read(tree, level="x40"))
    assert [frames[f"A03_00B{part}"].label for part in "abcd"] == [2, 2, 2, 2]
    assert frames["H10_01Cc"].label is None
    assert (frames["A03_00Ba"].mpp, frames["H03_00Ba"].mpp) == (0.2455, 0.2273)
    ratings = frames["A03_00Bb"].ratings
    assert Rating("r3", "anisonucleosis", 2.0) in ratings
    assert Rating("r1", "nuclei_contour", 3.0) in ratings
    count = Counter(rating.criterion for rating in ratings)
    assert count == {
        "nuclei_size": 3, "anisonucleosis": 3, "nucleoli_size": 3, "chromatin_density": 3,
        "nuclei_contour": 2,
    }  # fmt: skip


def test_a_frame_has_the_mean_of_its_subframes_criteria(tree: Path) -> None:
    ratings = by_name(read(tree))["A03_00B"].ratings
    assert len(ratings) == len({(rating.rater, rating.criterion) for rating in ratings}) == 14
    assert Rating("r3", "anisonucleosis", (1 + 2 + 3 + 1) / 4) in ratings
    assert Rating("r2", "chromatin_density", 3.0) in ratings


def test_a_frame_of_true_size_gives_120_tiles_of_128_px_that_stitch_to_it(tree: Path) -> None:
    frame = by_name(read(tree))["A03_00A"]
    tiles = list(tile_frames([frame], TilesConfig(size=128)))
    assert len(tiles) == 12 * 10
    path = Region("A", "03_00A").folder(tree) / "frames/x20/A03_00A.tiff"
    image = tifffile.imread(path)
    stitched = np.zeros_like(image)
    for tile in tiles:
        x, y = int(tile.x or 0), int(tile.y or 0)
        stitched[y : y + 128, x : x + 128] = tile.image
    covered = stitched.any(axis=-1)
    assert covered.sum() == 120 * 128 * 128
    np.testing.assert_array_equal(stitched[covered], image[covered])


@pytest.mark.parametrize(("level", "name"), [("x20", "03_00A"), ("x40", "03_00Ac"), ("x20", "06_00D")])
def test_both_scanners_give_the_same_grid_at_a_common_scale(tree: Path, level: str, name: str) -> None:
    frames = by_name(read(tree, level=level))
    a, h = frames[f"A{name}"], frames[f"H{name}"]
    config = TilesConfig(size=64, mpp=0.5)
    first, second = list(tile_frames([a], config)), list(tile_frames([h], config))
    assert len(first) == len(second) > 1
    for one, other in zip(first, second, strict=True):
        assert abs((one.x or 0) * (a.mpp or 0) - (other.x or 0) * (h.mpp or 0)) <= 0.5  # µm: one target pixel
        assert abs((one.y or 0) * (a.mpp or 0) - (other.y or 0) * (h.mpp or 0)) <= 0.5
        assert np.abs(one.image.astype(int) - other.image.astype(int)).mean() < 4


def test_import_keeps_what_is_known(tree: Path, tmp_path: Path) -> None:
    config = MitosAtypiaConfig(scanners=("aperio",))
    tiles = import_tiles(config, TilesConfig(size=32, mpp=1.0), root=tree, out=tmp_path / "tiles")
    assert (tiles.classes, tiles.ordinal, tiles.mpp) == (["score-1", "score-2", "score-3"], True, 1.0)
    assert set(tiles.patients) == {"mitos-atypia-14:03", "mitos-atypia-14:06", "mitos-atypia-14:10"}
    frame_ids = tiles.column("frame_id")
    assert len(set(frame_ids)) == len(SCORES)
    for frame_id, label in zip(frame_ids, tiles.labels, strict=True):
        assert label == (SCORES[frame_id.removeprefix("mitos-atypia-14:A")] or 0) - 1
    assert str(tree) not in str(tiles.info)
    tiles.verify()


def test_tiles_of_two_scanners_need_a_common_scale(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"differ in µm/px \(0.4545, 0.491\)"):
        import_tiles(MitosAtypiaConfig(), TilesConfig(size=64), root=small, out=tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()


def place(small: Path, name: str) -> Path:
    return Region("A", "03_00B").folder(small) / name


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "score not a number": (
        lambda root: place(root, "atypia/x20/A03_00B_cna_score_decision.csv").write_text("II\n"),
        "A03_00B_cna_score_decision.csv", "holds `II`; expected one score 1, 2 or 3",
    ),
    "score out of range": (
        lambda root: place(root, "atypia/x20/A03_00B_cna_score_decision.csv").write_text("4"),
        "A03_00B_cna_score_decision.csv", "holds `4`",
    ),
    "criterion not a number": (
        lambda root: place(root, "atypia/x40/A03_00Bc_cna_criteria.csv").write_text("nuclei_size,1,two,3\n"),
        "A03_00Bc_cna_criteria.csv row 1", "`two` is not a number",
    ),
    "criterion misspelt": (
        lambda root: place(root, "atypia/x40/A03_00Bc_cna_criteria.csv").write_text("nuclei_sise,1,2,3\n"),
        "A03_00Bc_cna_criteria.csv row 1", "did you mean `nuclei_size`?",
    ),
    "criteria of four raters": (
        lambda root: place(root, "atypia/x40/A03_00Bc_cna_criteria.csv").write_text("nuclei_size,1,2,3,1\n"),
        "A03_00Bc_cna_criteria.csv row 1", "expected name,r1,r2,r3",
    ),
    "unknown scanner": (
        lambda root: place(root, "frames/x20/A03_00B.tiff").rename(place(root, "frames/x20/L03_00B.tiff")),
        "L03_00B.tiff", "unknown scanner `L`",
    ),
    "misnamed": (
        lambda root: place(root, "frames/x20/A03_00B.tiff").rename(place(root, "frames/x20/A03-00B.tiff")),
        "A03-00B.tiff", "not named as frames are",
    ),
    "two versions of one frame": (
        lambda root: (root / "A03_00B.tiff").write_bytes(b"another picture"),
        "A03_00B.tiff", "but other content",
    ),
    "no frame": (shutil.rmtree, "", "no such folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_trees_are_refused_in_one_line(small: Path, name: str) -> None:
    damage, where, what = BAD[name]
    damage(small)
    text = refused(small)
    assert where in text
    assert what in text


def test_an_archive_unpacked_twice_is_one(small: Path) -> None:
    folder = Region("A", "03_00B").folder(small)
    shutil.copytree(folder, small / "again" / "A03")
    assert len(read(small).frames) == 2


def test_a_missing_score_file_is_no_label(small: Path) -> None:
    place(small, "atypia/x20/A03_00B_cna_score_decision.csv").unlink()
    frames = by_name(read(small))
    assert (frames["A03_00B"].label, frames["H03_00B"].label) == (None, 2)


def test_a_level_that_was_not_unpacked_is_named(small: Path) -> None:
    for path in list(small.rglob("frames/x40")):
        shutil.rmtree(path)
    assert "no x40 frame of aperio, hamamatsu" in refused(small, level="x40")


def test_a_truncated_frame_stops_the_import_and_leaves_nothing(small: Path, tmp_path: Path) -> None:
    path = place(small, "frames/x20/A03_00B.tiff")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"A03_00B\.tiff: truncated TIFF"):
        import_tiles(MitosAtypiaConfig(), TilesConfig(size=64, mpp=0.5), root=small, out=tmp_path / "tiles")
    assert [entry.name for entry in tmp_path.iterdir() if "tiles" in entry.name] == []
