"""The training set of each arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.phantoms import phantom_tileset
from tests.study.contexts import fit_context

from nucleosynth.data.split import Fold, Split
from nucleosynth.errors import InputError
from nucleosynth.study.design.arms import Arm, ArmsConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.stages.training_sets import Pool, arm_training_set


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Real tiles of twelve patients, four of them for training; another TileSet serves as the pool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("tilesets")
        tiles = phantom_tileset(folder / "tiles", tiles=120, patients=12)
        made = phantom_tileset(folder / "pool", tiles=60, patients=6)
        names = sorted(set(tiles.patients.tolist()))
        fold = Fold(train=names[:4], validation=names[6:8], test=names[8:])
        whole = fold.model_copy(update={"train": names[:6]})
        Split(rule="half", folds=[whole, fold]).save(folder / "split.json")
        yield fit_context(tiles, fold, folder), Pool(made, np.arange(60)), names


def training_set(setting, arm: Arm):
    context, pool, _ = setting
    return arm_training_set(context, arm, pool)


def arm(name: str) -> Arm:
    controls = ["real", "augmented", "natural", "oversampled", "shuffled", "held-back", "rare-only"]
    config = ArmsConfig(
        doses=(0.25, 20), controls=[*controls, "pretrained", "synthetic-only"], dose=0.4, fractions=(0.5,)
    )
    return next(arm for arm in config.all if arm.name == name)


def test_real_tiles_are_those_of_the_training_patients(setting):
    tiles, fold = setting[0].tiles, setting[0].patients
    for name in ("real", "natural", "oversampled", "augmented"):
        found = training_set(setting, arm(name))
        (part,) = found.parts
        assert set(tiles.patients[part.rows].tolist()) == set(fold.train)
        assert found.strong == (name == "augmented")
    assert arm("oversampled").balance == "sampler"
    assert arm("natural").balance == "none"


def test_a_dose_is_a_share_or_so_many_tiles(setting):
    real, added = training_set(setting, arm("real+25%")).parts
    assert (real.share, added.share, len(added.rows)) == (0.75, 0.25, 60)
    real, added = training_set(setting, arm("real+20")).parts
    assert added.share == pytest.approx(20 / (20 + len(real.rows)))
    assert added.rows.tolist() == list(range(20))
    with pytest.raises(InputError, match=r"the pool holds 60 tiles; raise synthesis\.tiles to 61"):
        training_set(setting, Arm("real+61", "dose", dose=61))


def test_shuffled_labels_keep_how_many_there_are_of_each(setting):
    _, added = training_set(setting, arm("shuffled")).parts
    asked = added.tiles.labels[added.rows]
    assert not np.array_equal(added.labels, asked)
    assert np.array_equal(np.bincount(added.labels), np.bincount(asked))
    assert np.array_equal(added.labels, training_set(setting, arm("shuffled")).parts[1].labels)
    members = [added.members(c) for c in range(3)]
    assert sorted(np.concatenate(members).tolist()) == added.rows.tolist()
    assert all(np.array_equal(added.rows[added.labels == c], members[c]) for c in range(3))


def test_rare_only_leaves_the_commonest_class_to_real_tiles(setting):
    tiles, fold = setting[0].tiles, setting[0].patients
    common = np.bincount(tiles.labels[tiles.rows_of(fold.train)]).argmax()
    _, added = training_set(setting, arm("rare-only")).parts
    assert common not in added.tiles.labels[added.rows]


def test_held_back_tiles_are_of_training_patients_that_the_fraction_leaves_out(setting):
    tiles, names = setting[0].tiles, setting[2]
    real, added = training_set(setting, arm("held-back")).parts
    assert (real.share, added.share) == (0.6, 0.4)
    assert set(tiles.patients[added.rows].tolist()) == set(names[4:6])


def test_pretraining_is_synthetic_first_and_real_after(setting):
    found = training_set(setting, arm("pretrained"))
    assert found.first_share == 0.4
    assert (found.first[0].tiles, found.first[0].share) == (setting[1].tiles, 1.0)
    assert [part.share for part in found.parts] == [1.0]
    (only,) = training_set(setting, arm("synthetic-only")).parts
    assert (only.tiles, only.share) == (setting[1].tiles, 1.0)


def test_nothing_to_add_is_said(setting):
    context, pool, _ = setting
    with pytest.raises(InputError, match="arm held-back: nothing to add"):
        arm_training_set(replace(context, fit=Fit(1)), arm("held-back"), pool)
