"""What is learned from masks: contours, spacing, and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nucleosynth.data.contours import Contours, rasterise
from nucleosynth.data.tileset import write_tileset
from nucleosynth.errors import InputError
from nucleosynth.layouts import fit
from nucleosynth.layouts.descriptors import HARMONICS, describe
from nucleosynth.layouts.fit import fit_class_statistics, fit_layouts, tile_density
from nucleosynth.layouts.spacing import BINS, EDGES, pair_histogram, place, refine_weights, start_weights


def contours(x, y, radius, *, aspect=1.0, angle=0.0, waves=None):
    m = len(x)
    return Contours.of(
        x=np.asarray(x, float),
        y=np.asarray(y, float),
        radius=np.full(m, radius, float),
        aspect=np.full(m, aspect, float),
        angle=np.full(m, angle, float),
        contour=np.zeros((m, HARMONICS)) + (0 if waves is None else np.asarray(waves)),
    )


def test_describe_finds_the_contours_that_were_drawn():
    waves = np.zeros(HARMONICS, complex)
    waves[1:4] = 0.06 + 0.03j, -0.05j, 0.03
    drawn = contours([20, 60], [22, 58], 12.0, aspect=1.6, angle=0.5, waves=waves)
    mask, _ = rasterise(drawn, size=160, mpp=0.5)
    found = describe(mask[None], mpp=0.5)
    assert found.contours.x == pytest.approx([20, 60], abs=0.6)
    assert found.contours.radius == pytest.approx([12, 12], rel=0.02)
    assert found.contours.aspect == pytest.approx([1.6, 1.6], rel=0.08)
    assert found.contours.angle == pytest.approx([0.5, 0.5], abs=0.1)
    assert np.abs(found.contours.contour[:, 1:4] - waves[1:4]).max() < 0.025
    assert (found.weight > 1).all()


def test_describe_takes_pixels_for_no_waves_and_weighs_cut_nuclei_0():
    mask, _ = rasterise(contours([16, 30], [16, 1], 3.0), size=64, mpp=0.5)
    found = describe(mask[None], mpp=0.5)
    assert np.abs(found.contours.contour[0]).max() < 0.02
    assert found.weight[0] > 1
    assert found.weight[1] == 0
    assert tile_density(found, 1, (64, 64), 0.5) == pytest.approx([1.5 / 0.032**2])


def test_pairs_are_counted_in_sums_of_reaches():
    mask, _ = rasterise(contours([10, 22, 22], [10, 10, 44], 5.0), size=128, mpp=0.5)
    counts = pair_histogram(describe(mask[None], mpp=0.5))
    assert counts.sum() == pytest.approx(1 / 3)  # the third is three reaches away
    assert counts[np.searchsorted(EDGES, 1.2) - 1] == pytest.approx(1 / 3)


def test_placed_nuclei_keep_apart_and_jam_instead_of_piling_up():
    shapes = contours(np.zeros(60), np.zeros(60), 5.0)
    inside = np.ones(60, bool)
    generator = np.random.default_rng(0)
    placed = place(generator, shapes, start_weights(), extent=(40.0, 40.0), margin=8.0, inside=inside)
    assert 8 < len(placed) < 32
    gaps = np.hypot(*(v[:, None] - v for v in (placed.x, placed.y)))[np.triu_indices(len(placed), 1)]
    assert gaps.min() > 0.85 * 10 - 1e-3
    assert placed.x.min() >= 0
    assert placed.x.max() <= 40


def test_rim_nuclei_lie_outside_the_tile():
    shapes = contours(np.zeros(20), np.zeros(20), 2.0)
    inside = np.zeros(20, bool)
    placed = place(
        np.random.default_rng(0), shapes, start_weights(), extent=(40, 40), margin=8, inside=inside
    )
    within = (placed.x >= 0) & (placed.x < 40) & (placed.y >= 0) & (placed.y < 40)
    assert len(placed) == 20
    assert not within.any()


def test_inversion_weighs_up_what_is_drawn_too_seldom():
    real, drawn = np.full(BINS, 0.1), np.full(BINS, 0.1)
    drawn[4], drawn[7] = 0.05, 0.2
    weights = refine_weights(np.zeros(BINS), real, drawn)
    assert weights[4] > 0.4
    assert weights[7] < -0.4
    assert np.delete(weights, [4, 7]) == pytest.approx(0)


@pytest.mark.slow
def test_clusters_and_lattices_differ(monkeypatch):
    monkeypatch.setattr(fit, "_TRIAL", 8)
    generator = np.random.default_rng(0)
    lattice = np.stack([v.ravel() for v in np.meshgrid(np.arange(8, 120, 14), np.arange(8, 120, 14))])
    neighbours = []
    for clustered in (False, True):
        masks = []
        for _ in range(8):
            x, y = lattice + generator.uniform(-1, 1, lattice.shape)
            x, y = (np.r_[v[::2], v[::2] + d] for v, d in ((x, 8.5), (y, 0))) if clustered else (x, y)
            masks.append(rasterise(contours(x, y, 4.0), size=128, mpp=1.0)[0])
        statistics = fit_class_statistics(np.stack(masks), mpp=1.0, rounds=2)
        neighbours.append(int(np.argmax(statistics.spacing)))
        assert statistics.size_in_tile < 0.5
    assert neighbours[1] < neighbours[0]


def test_what_the_model_knows_of_its_origin(layout_model, layout_tiles):
    assert layout_model.patients == [f"phantom:p{i:02d}" for i in range(6)]
    assert layout_model.content_hash == layout_tiles.content_hash
    assert layout_model.classes == layout_tiles.classes
    assert (layout_model.size, layout_model.mpp) == ((64, 64), 0.75)
    rows = layout_tiles.rows_of(layout_model.patients)
    assert [statistics.tiles for statistics in layout_model.class_statistics] == np.bincount(
        layout_tiles.labels[rows]
    ).tolist()


@pytest.mark.slow
def test_other_patients_are_not_read(layout_model, layout_tiles, tmp_path):
    known = [dataclasses.replace(t) for t in layout_tiles.tiles(layout_tiles.rows_of(layout_model.patients))]
    others = [
        dataclasses.replace(t, mask=np.zeros_like(t.mask))
        for t in layout_tiles.tiles(layout_tiles.rows_of(["phantom:p07"]))
    ]
    changed = write_tileset(tmp_path / "t", [*known, *others], classes=layout_tiles.classes, ordinal=True)
    again = fit_layouts(changed, layout_model.patients, rounds=0)
    assert (
        again.class_statistics == fit_layouts(layout_tiles, layout_model.patients, rounds=0).class_statistics
    )


def test_a_class_of_few_nuclei_borrows_shapes_and_keeps_its_density(
    layout_tiles, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(fit, "_TRIAL", 10)
    rows = layout_tiles.rows_of(["phantom:p00", "phantom:p01"])
    rare = [dataclasses.replace(t, label=int(i < 3)) for i, t in enumerate(layout_tiles.tiles(rows))]
    rare[:3] = [dataclasses.replace(t, mask=np.zeros_like(t.mask)) for t in rare[:3]]
    made = write_tileset(tmp_path / "t", rare, classes=["common", "rare"])
    model = fit_layouts(made, ["phantom:p00", "phantom:p01"], rounds=1)
    assert model.class_statistics[1].density == (0, 0, 0)
    assert len(model.class_statistics[1].nuclei) > 50
    assert "rare has too few whole nuclei" in caplog.text
    assert not model.draw(5, label=1).any()


def test_refusals(layout_tiles, tmp_path):
    with pytest.raises(InputError, match="no tile of these patients has a mask"):
        fit_layouts(layout_tiles, ["phantom:p99"])
    few = list(layout_tiles.tiles([0, 1]))
    blank = [dataclasses.replace(t, mask=np.zeros_like(t.mask), label=None) for t in few]
    with pytest.raises(InputError, match="0 whole nuclei in 2 tiles; expected at least 50"):
        fit_layouts(write_tileset(tmp_path / "blank", blank, classes=[]), [t.patient_id for t in blank])
    with pytest.raises(InputError, match="class 'x' has no tile"):
        fit_layouts(write_tileset(tmp_path / "x", blank, classes=["x"]), [t.patient_id for t in blank])
    unknown = [dataclasses.replace(t, mpp=None) for t in few]
    with pytest.raises(InputError, match="µm/px is unknown"):
        fit_layouts(write_tileset(tmp_path / "u", unknown, classes=layout_tiles.classes), ["phantom:p00"])
