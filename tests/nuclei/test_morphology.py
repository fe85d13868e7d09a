"""Nuclei measured: against regionprops, on drawn shapes, in degenerate cases, and per tile by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from skimage.measure import regionprops
from skimage.morphology import convex_hull_image

from nucleosynth.data.phantom.tissue import CLASSES, PhantomConfig, phantom_tiles
from nucleosynth.errors import InputError
from nucleosynth.nuclei.morphology import NUCLEUS_MEASURES, PIXEL_MEASURES, nuclei_table, tile_table
from nucleosynth.nuclei.size_reference import benign_reference, given_reference, size_grade


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray, list]:
    tiles = list(phantom_tiles(PhantomConfig(tiles=24, patients=3, seed=2), size=96, mpp=0.5))
    return np.stack([t.image for t in tiles]), np.stack([t.mask for t in tiles]), tiles


def random_labels(seed: int) -> np.ndarray:
    """Irregular, disconnected, touching nuclei with gaps in their numbers: three tiles."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 6, (3, 10, 12)) * draw.integers(0, 2, (3, 10, 12)) * 3
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)
    return np.where(draw.random(fine.shape) < 0.8, fine, 0)


def waved(amplitude: float, *, waves: int = 4, radius: float = 12, aspect: float = 1.0) -> np.ndarray:
    """One nucleus: an ellipse whose contour waves."""
    y, x = np.mgrid[-30:31, -30:31] + 0.3
    angle = np.arctan2(y * np.sqrt(aspect), x / np.sqrt(aspect))
    reach = radius * (1 + amplitude * np.cos(waves * angle))
    return (np.hypot(y * np.sqrt(aspect), x / np.sqrt(aspect)) < reach)[None]


def disc(size: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


@pytest.mark.parametrize("seed", range(3))
def test_regionprops_gives_the_same(seed: int) -> None:
    labels = random_labels(seed)
    found = nuclei_table(None, labels, mpp=0.5).to_pylist()
    expected = [(tile, props) for tile, image in enumerate(labels) for props in regionprops(image)]
    assert len(found) == len(expected) > 10
    for row, (tile, props) in zip(found, expected, strict=True):
        assert (row["tile"], row["label"]) == (tile, props.label)
        assert row["area_um2"] == pytest.approx(props.area * 0.25)
        assert row["diameter_um"] == pytest.approx(props.equivalent_diameter_area * 0.5)
        assert row["eccentricity"] == pytest.approx(props.eccentricity, abs=1e-7)
        assert (row["y_um"], row["x_um"]) == pytest.approx(tuple((np.array(props.centroid) + 0.5) * 0.5))
        top, left, bottom, right = props.bbox
        cut = top == 0 or left == 0 or bottom == labels.shape[1] or right == labels.shape[2]
        assert row["touches_border"] == cut == (row["edge_weight"] == 0)
        hull = convex_hull_image(props.image, offset_coordinates=False)
        assert row["solidity"] == pytest.approx(props.area / hull.sum())


def test_shapes_of_real_size_have_the_solidity_of_regionprops_within_what_its_half_pixels_add(
    phantom,
) -> None:
    _, masks, _ = phantom
    table = nuclei_table(None, masks, mpp=0.5)
    theirs = np.array([props.solidity for image in masks for props in regionprops(image)])
    whole = ~table["touches_border"].to_numpy(zero_copy_only=False) & (table["area_um2"].to_numpy() > 20)
    difference = table["solidity"].to_numpy()[whole] - theirs[whole]
    assert (difference > -1e-9).all()  # it counts pixels whose middle a hull half a pixel larger holds
    assert np.median(difference) < 0.05


def test_lines_points_and_a_nucleus_that_fills_the_tile_have_values() -> None:
    masks = np.zeros((5, 7, 7), np.uint16)
    masks[1, 3, 3] = 4  # a single pixel
    masks[2, 2, 1:6] = 2  # a line
    masks[3] = 1  # the whole tile
    masks[4, [1, 3, 5], [1, 3, 5]] = 9  # a diagonal with gaps
    images = np.full((5, 7, 7, 3), 120, np.uint8)
    rows = nuclei_table(images, masks, mpp=1.0).to_pylist()
    assert [row["tile"] for row in rows] == [1, 2, 3, 4]
    assert [row["solidity"] for row in rows] == [1.0, 1.0, 1.0, 3 / 5]
    assert [row["eccentricity"] for row in rows] == [0.0, 1.0, 0.0, 1.0]
    assert [row["touches_border"] for row in rows] == [False, False, True, False]
    assert all(0 <= row["irregularity"] < 1 for row in rows)
    assert all(np.isnan(row["neighbour_um"]) for row in rows)
    assert [np.isnan(row["chromatin_cv"]) for row in rows] == [True, True, False, True]
    tiles = tile_table(nuclei_table(images, masks, mpp=1.0), benign_um=5.0)
    assert tiles["nuclei"].to_pylist() == [0, 1, 1, 1, 1]
    assert tiles["whole_nuclei"].to_pylist() == [0, 1, 1, 0, 1]
    assert tiles["size_grade"].to_pylist() == [0, 1, 1, 0, 1]
    assert np.isnan(tiles["anisonucleosis"].to_numpy()).all()


@pytest.mark.parametrize("shape", [(0, 8, 8), (3, 8, 8), (2, 1, 1), (2, 0, 0)])
def test_no_nuclei_make_an_empty_table_and_tiles_of_density_zero(shape) -> None:
    table = nuclei_table(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint16), mpp=0.5)
    assert table.num_rows == 0
    assert set(NUCLEUS_MEASURES) <= set(table.column_names)
    tiles = tile_table(table)
    assert tiles.num_rows == shape[0]
    if shape[1]:
        assert not tiles["density_per_mm2"].to_numpy().any()
    assert np.isnan(tiles["diameter_um"].to_numpy()).all()


def test_irregularity_is_next_to_nothing_for_ellipses_and_follows_the_contour() -> None:
    def irregularity(*args, **kwargs) -> float:
        return nuclei_table(None, waved(*args, **kwargs), mpp=1.0)["irregularity"][0].as_py()

    for radius in (6, 12, 20):
        for aspect in (1.0, 1.7, 2.5):
            assert irregularity(0.0, radius=radius, aspect=aspect) < 0.02
    amplitudes = np.array([0.0, 0.03, 0.06, 0.09])
    found = np.array([irregularity(a) for a in amplitudes])
    assert (np.diff(found) > 0.01).all()
    assert irregularity(0.08, waves=5) == pytest.approx(found[-1], abs=0.03)


def test_scale_and_turning_change_nothing_but_the_unit(phantom) -> None:
    images, masks, _ = phantom
    one = nuclei_table(images, masks, mpp=0.5)
    two = nuclei_table(images, masks, mpp=0.25)
    assert np.allclose(one["area_um2"].to_numpy(), 4 * two["area_um2"].to_numpy())
    assert np.allclose(one["neighbour_um"].to_numpy(), 2 * two["neighbour_um"].to_numpy(), equal_nan=True)
    turned = nuclei_table(np.rot90(images, axes=(1, 2)), np.rot90(masks, axes=(1, 2)), mpp=0.5)
    for name in NUCLEUS_MEASURES:
        assert np.allclose(one[name].to_numpy(), turned[name].to_numpy(), equal_nan=True, atol=1e-6), name


def test_tiles_measured_in_parts_are_the_same_as_together(phantom, monkeypatch) -> None:
    images, masks, _ = phantom
    together = nuclei_table(images, masks, mpp=0.5)
    monkeypatch.setattr("nucleosynth.nuclei.morphology._PART", 5 * 96 * 96)
    apart = nuclei_table(images, masks, mpp=0.5)
    assert apart.schema.equals(together.schema, check_metadata=True)
    for name in together.column_names:
        np.testing.assert_allclose(apart[name].to_numpy(), together[name].to_numpy(), err_msg=name)


def test_staining_by_hand() -> None:
    images = np.full((1, 20, 20, 3), 230, np.uint8)
    masks = np.zeros((1, 20, 20), np.uint8)
    masks[0, 2:9, 2:9], masks[0, 11:18, 2:9], masks[0, 11:18, 11:18] = 1, 2, 3
    images[masks > 0] = (110, 80, 150)
    images[0, 13:16, 4:7] = (70, 40, 110)  # 9 of the 25 inner pixels of nucleus 2: a nucleolus
    images[0, 11:18, 11] = (255, 255, 255)  # the outermost ring of nucleus 3 alone
    even, spotted, rimmed = nuclei_table(images, masks, mpp=0.5).to_pylist()
    assert even["chromatin_cv"] == pytest.approx(0, abs=1e-6)
    assert even["nucleolus_prominence"] == pytest.approx(0, abs=1e-6)
    assert spotted["chromatin_cv"] > 0.1
    assert spotted["nucleolus_prominence"] > 0.2
    assert spotted["haematoxylin_od"] > even["haematoxylin_od"] > rimmed["haematoxylin_od"]
    assert rimmed["chromatin_cv"] == pytest.approx(0, abs=1e-6)


def test_staining_follows_the_atypia_that_was_drawn(phantom) -> None:
    images, masks, tiles = phantom
    rows = tile_table(nuclei_table(images, masks, mpp=0.5), benign_um=6.4)
    atypia = np.array([tile.extra["atypia"] for tile in tiles])
    for name in ("chromatin_cv", "nucleolus_prominence", "size_ratio", "irregularity"):
        assert np.corrcoef(rows[name].to_numpy(), atypia)[0, 1] > 0.5, name


def test_without_images_only_the_staining_is_unknown(phantom) -> None:
    images, masks, _ = phantom
    with_, without = nuclei_table(images, masks, mpp=0.5), nuclei_table(None, masks, mpp=0.5)
    for name in NUCLEUS_MEASURES:
        unknown = np.isnan(without[name].to_numpy())
        assert unknown.all() if name in PIXEL_MEASURES else with_[name].equals(without[name])


def test_a_tile_by_hand() -> None:
    masks = np.zeros((2, 64, 64), np.uint16)
    masks[0][disc(64, (20, 20), 4)] = 1
    masks[0][disc(64, (20, 40), 4)] = 2
    masks[0][disc(64, (63, 63), 5)] = 3
    table = nuclei_table(None, masks, mpp=0.5)
    rows = tile_table(table, benign_um=2.0).to_pylist()
    assert table["neighbour_um"].to_numpy()[:2] == pytest.approx([10, 10])
    assert (rows[0]["nuclei"], rows[0]["whole_nuclei"]) == (3, 2)
    assert rows[0]["density_per_mm2"] == pytest.approx(2.5 / 0.032**2)
    assert rows[0]["anisonucleosis"] == pytest.approx(0)
    assert rows[0]["size_ratio"] == pytest.approx(rows[0]["diameter_um"] / 2)
    assert rows[0]["diameter_um"] == pytest.approx(2 * 4 * 0.5, rel=0.06)
    assert (rows[0]["size_grade"], rows[1]["size_grade"], rows[1]["density_per_mm2"]) == (2, 0, 0)


def test_anisonucleosis_is_the_coefficient_of_variation_of_the_diameter() -> None:
    masks = np.zeros((1, 200, 200), np.uint16)
    for label, (x, radius) in enumerate(((40, 5), (90, 7), (140, 9)), start=1):
        masks[0][disc(200, (100, x), radius)] = label
    table = nuclei_table(None, masks, mpp=0.5)
    diameters, weights = table["diameter_um"].to_numpy(), table["edge_weight"].to_numpy()
    assert weights == pytest.approx(np.ones(3), abs=0.25)
    expected = np.std(diameters, ddof=1) / np.mean(diameters)
    assert tile_table(table)["anisonucleosis"][0].as_py() == pytest.approx(expected, rel=0.05)


def test_weights_make_up_for_large_nuclei_that_borders_cut() -> None:
    """As many small as large nuclei at every place of a plane: windows on it must find as many of both."""
    centres = [(y, x, radius) for y in range(-8, 40, 2) for x in range(-8, 40) for radius in (2, 7)]
    masks = np.stack([disc(32, (y, x), radius) for y, x, radius in centres])
    table = nuclei_table(None, masks, mpp=1.0)
    large = table["diameter_um"].to_numpy() > 9
    weight = table["edge_weight"].to_numpy()
    assert np.average(large, weights=weight) == pytest.approx(0.5, abs=0.03)
    assert np.average(large, weights=weight > 0) < 0.35


@pytest.mark.parametrize(
    ("ratio", "grade"), [(0.9, 1), (1.49, 1), (1.5, 2), (2.0, 2), (2.01, 3), (np.nan, 0)]
)
def test_grade_by_size(ratio: float, grade: int) -> None:
    assert size_grade([ratio]).tolist() == [grade]


def test_the_benign_reference_is_the_median_of_a_class(phantom) -> None:
    _, masks, tiles = phantom
    table = nuclei_table(None, masks, mpp=0.5)
    labels = [tile.label for tile in tiles]
    lowest = benign_reference(table, labels, classes=CLASSES, ordinal=True)
    named = benign_reference(table, labels, classes=CLASSES, benign="grade 2")
    assert lowest.diameter_um is not None
    assert named.diameter_um is not None
    assert 5 < lowest.diameter_um < named.diameter_um < 20
    assert "lowest class" in lowest.rule
    assert "grade 2" in named.rule
    assert given_reference(6.4).diameter_um == 6.4


def test_references_that_cannot_be_had_are_one_line(phantom) -> None:
    _, masks, _ = phantom
    table = nuclei_table(None, masks, mpp=0.5)
    unlabelled = np.full(len(masks), -1)
    for words, call in (
        ("unknown; the classes are a, b", {"classes": ["a", "b"], "benign": "c"}),
        ("no order", {"classes": ["a", "b"]}),
        ("0 whole nuclei", {"classes": ["a", "b"], "ordinal": True}),
    ):
        with pytest.raises(InputError, match=words):
            benign_reference(table, unlabelled, **call)
    with pytest.raises(InputError, match="expected 1 to 50"):
        given_reference(0.0)


def test_bad_input_is_one_line(phantom) -> None:
    images, masks, _ = phantom
    with pytest.raises(InputError, match="mpp is missing"):
        nuclei_table(images, masks, mpp=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected alike"):
        nuclei_table(images, masks[:, :50], mpp=0.5)
    with pytest.raises(InputError, match="expected uint8 RGB"):
        nuclei_table(images[..., 0], masks, mpp=0.5)
    with pytest.raises(InputError, match="make it by nuclei_table"):
        tile_table(pa.table({"tile": [0]}))
    with pytest.raises(InputError, match="benign diameter"):
        tile_table(nuclei_table(None, masks, mpp=0.5), benign_um=0.0)


def test_units_are_with_the_fields(phantom) -> None:
    _, masks, _ = phantom
    table = nuclei_table(None, masks, mpp=0.5)
    assert table.schema.field("area_um2").metadata == {b"unit": "µm²".encode()}
    assert tile_table(table).schema.field("density_per_mm2").metadata == {b"unit": "1/mm²".encode()}
