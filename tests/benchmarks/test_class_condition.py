"""Requested classes are scored by classifiers of real tiles; runs continue, leakage is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from benchmarks.class_condition import main
from benchmarks.class_scores import Labelled, by_class, differences, in_proportion
from PIL import Image
from tests.phantoms import TINY_NETWORK, tiny_study

from nucleosynth.data.split_rules import make_split
from nucleosynth.data.tileset import TileSet
from nucleosynth.diffusion.config import GeneratorConfig
from nucleosynth.diffusion.training.generator import train_generator
from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.study.design.config import load_study
from nucleosynth.study.run import data_root, study_tiles


def labelled(labels, right, *, patients=4, seeds=1, name="p"):
    """Tiles of which a classifier labels those of ``right`` as they are, the others as the other class."""
    labels, right = np.array(labels), np.array(right, bool)
    seen = np.where(right, labels, 1 - labels)
    probabilities = np.stack([1 - seen, seen], axis=1) * 0.4 + 0.3
    owners = np.array([f"{name}{i % patients:02d}" for i in range(len(labels))])
    return Labelled(labels, owners, [probabilities] * seeds, [0.5] * seeds)


def test_scores_by_hand():
    found = labelled([0, 0, 0, 0, 1, 1], [1, 1, 1, 0, 1, 0], seeds=2).scores()
    assert found["balanced_accuracy"]["value"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["auroc"]["value"] == pytest.approx((3 + 1 / 2 + 3 / 2) / 8)  # ties count half
    assert found["confusion"] == [[[3, 1], [1, 1]]] * 2
    assert found["balanced_accuracy"]["interval"] is None  # of four patients
    assert [seed["value"] for seed in found["balanced_accuracy"]["seeds"]] == [0.625, 0.625]
    assert (found["tiles"], found["patients"]) == (6, 4)


def test_the_threshold_is_that_of_the_classifier():
    one = labelled([0, 1], [1, 1])
    strict = Labelled(one.labels, one.patients, one.probabilities, [0.9])
    assert strict.scores()["balanced_accuracy"]["value"] == 0.5
    assert strict.scores()["auroc"]["value"] == 1.0


def test_a_difference_is_between_patients_of_both_tile_groups():
    labels = np.arange(240) % 2
    hits = np.random.default_rng(0).random(240) < 0.8
    real = labelled(labels, hits, patients=20, seeds=3, name="real")
    same = labelled(labels, hits, patients=30, seeds=3, name="donor")
    better = labelled(labels, np.ones(240), patients=30, seeds=3, name="donor")
    none, some = differences(same, real)["balanced_accuracy"], differences(better, real)["balanced_accuracy"]
    assert none["value"] == pytest.approx(0)
    assert none["interval"][0] < 0 < none["interval"][1]
    accuracy = [one.scores()["balanced_accuracy"]["value"] for one in (better, real)]
    assert some["value"] == pytest.approx(accuracy[0] - accuracy[1])
    assert some["interval"][0] > 0
    few = differences(better, labelled(labels, hits, patients=5, name="real"))["balanced_accuracy"]
    assert few["value"] == pytest.approx(some["value"])
    assert few["interval"] is None


def test_frequencies_are_those_wanted():
    labels = np.arange(20) % 2
    rows = in_proportion(labels, np.array([0, 0, 0, 0, 1]))
    assert rows.tolist() == [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18]  # ten of class 0, 2.5 of class 1
    assert in_proportion(labels, np.array([0, 0])).tolist() == list(range(0, 20, 2))
    assert np.array_equal(in_proportion(labels, labels), np.arange(20))


def test_equally_many_of_each_class_are_shown():
    images = np.arange(5)
    shown = by_class(images, np.array([1, 0, 0, 0, 1]), ["a", "b"], most=3)
    assert {name: rows.tolist() for name, rows in shown.items()} == {"a": [1, 2], "b": [0, 4]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study file, its tiles, and the run of a generator of its training patients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        home = tmp_path_factory.mktemp("classes")
        path = home / "study.yaml"
        path.write_text(yaml.safe_dump(tiny_study()))
        study = load_study(path)
        tiles = study_tiles(study, home, data_root(None))
        fold = make_split(tiles, study.split, home).folds[0]
        config = GeneratorConfig.model_validate({"steps": 4, "batch": 4, "network": TINY_NETWORK})
        train_generator(tiles, fold.train, config, out=home / "ours", device="cpu")
        train_generator(tiles, [*fold.train, fold.test[0]], config, out=home / "leaking", device="cpu")
        return home, fold


@pytest.mark.slow
def test_rows_of_a_generator(trained, tmp_path, capsys):
    home, fold = trained
    options = {"samples": 12, "seeds": 2, "device": "cpu", "study": home / "study.yaml"}
    places = {"run": tmp_path / "run", "result": tmp_path / "result.json", "pictures": tmp_path / "pictures"}
    main(home / "ours", **options, **places)
    assert capsys.readouterr().out.count("ours, guidance") == 2
    found = read_json(places["result"])
    assert [(row["name"], row["guidance"]) for row in found["rows"]] == [("ours", 1.0), ("ours", 1.5)]
    assert found["real"]["train"]["patients"] == len(fold.train)
    assert found["real"]["validation"]["patients"] == len(fold.validation)
    row = found["rows"][0]
    assert np.sum(row["labels"]["confusion"], axis=(1, 2)).tolist() == [12, 12]
    assert [sum(asked) for asked in row["labels"]["confusion"][0]] == [4, 4, 4]
    assert set(row["likeness"]["classes"]) == set(found["data"]["classes"])
    assert row["likeness"]["all"]["coverage"]["real"] > row["likeness"]["all"]["coverage"]["synthetic"]
    assert "phantom:" not in json.dumps(found)

    pools = sorted((tmp_path / "run" / "samples").glob("*-seed-0"))
    assert [TileSet.open(pool).labels.tolist() for pool in pools] == [[0, 1, 2] * 4] * 2
    assert all(set(TileSet.open(pool).patients.tolist()) <= set(fold.train) for pool in pools)
    pictures = [tmp_path / "run" / "samples" / f"ours-guidance-{guidance}.png" for guidance in ("1", "1.5")]
    assert [Image.open(picture).size for picture in pictures] == [(4 * 32 + 3 * 2, 3 * 32 + 2 * 16)] * 2

    times = [path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")]
    main(home / "ours", guidance=(1.5,), **options, **places)
    again = read_json(places["result"])
    assert {**again["rows"][1], "load_before": 0} == {**found["rows"][1], "load_before": 0}
    assert again["rows"][0] == row
    assert times == [path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")]
    with pytest.raises(InputError, match=r"its settings are others \(samples: 12, here 6\)"):
        main(home / "ours", guidance=(1.0,), **{**options, "samples": 6}, **places)


@pytest.mark.slow
def test_a_generator_that_cannot_be_scored_is_refused(trained, tmp_path):
    home, fold = trained
    options = {"study": home / "study.yaml", "run": tmp_path / "run", "device": "cpu"}
    with pytest.raises(
        InputError, match=f"was trained on patient {fold.test[0]}, who is outside the training part"
    ):
        main(home / "leaking", **options)
    with pytest.raises(InputError, match="name at least one run"):
        main(**options)
    with pytest.raises(InputError, match="two runs are of one name"):
        main(home / "ours", home / "leaking" / ".." / "ours", **options)
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(tiny_study(tiles={"size": 16, "mpp": 0.75})))
    with pytest.raises(InputError, match=r"its mpp is 1.0, the study's 0.75"):
        main(home / "ours", **{**options, "study": other, "run": tmp_path / "coarse"})
    other.write_text(yaml.safe_dump(tiny_study(data={"reader": "phantom", "patients": 12, "tiles": 84})))
    with pytest.raises(InputError, match="reads masks, and the tiles of this study have none or others"):
        main(home / "ours", **{**options, "study": other, "run": tmp_path / "fewer"})
    assert not (tmp_path / "run" / "classifiers").exists()
