"""Two studies compared: paired over the same test patients, refused where these differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import tiny_study

from nucleosynth.cli import main
from nucleosynth.config import parse
from nucleosynth.errors import InputError
from nucleosynth.files import read_json, write_json
from nucleosynth.study.analysis.compare_studies import compare_studies
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.run import run_study

pytestmark = pytest.mark.slow


def study(**changes) -> StudyConfig:
    many = {"reader": "phantom", "patients": 30, "tiles": 240}
    return parse(StudyConfig, tiny_study(data=many, split={"fractions": [0.4, 0.2, 0.4]}, **changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEOSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("study") / "run"
        run_study(study(), out=out, device="cpu")
        return out


@pytest.fixture
def better(finished, tmp_path):
    """The same study with better classifiers in the arm of synthetic tiles."""
    out = Path(shutil.copytree(finished, tmp_path / "better"))
    labels = np.load(next(out.glob("fold-0/arms/real/*/test.npy")))
    for path in out.glob("fold-0/arms/real+50%/*/test.npy"):
        tiles = _test_labels(out)
        np.save(path, 0.2 * np.load(path) + 0.8 * np.eye(labels.shape[1])[tiles])
    return out


def _test_labels(out):
    from nucleosynth.data.split import Split
    from nucleosynth.data.tileset import TileSet

    tiles = TileSet.open(out / "tiles")
    return tiles.labels[tiles.rows_of(Split.load(out / "split.json").folds[0].test)]


def of(found, arm, metric):
    (one,) = [d for d in found["differences"] if (d["arm"], d["metric"]) == (arm, metric)]
    return one


def test_a_study_differs_in_nothing_from_itself(finished):
    found = compare_studies(finished, finished)
    assert found["same_tiles"]
    assert {d["arm"] for d in found["differences"]} == {"real", "real+50%", "synthetic-only"}
    assert all(d["difference"] == 0 and d["interval"] == [0, 0] for d in found["differences"])
    assert found["first"]["generators"] == read_json(finished / "report.json")["generators"]


def test_the_second_minus_the_first_paired_over_patients(finished, better, capsys):
    found = compare_studies(finished, better)
    gain = of(found, "real+50%", "auroc")
    arms = {arm["arm"]: arm["metrics"] for arm in read_json(finished / "report.json")["arms"]}
    assert gain["difference"] > 0.1
    assert gain["interval"][0] > 0
    assert gain["p_holm"] >= gain["p_value"]
    assert gain["difference"] == pytest.approx(1 - arms["real+50%"]["auroc"]["mean"], abs=0.05)
    assert of(found, "real", "auroc")["difference"] == 0
    assert main(["study", "compare", str(better), str(finished)]) == 0
    turned = json.loads(capsys.readouterr().out)
    assert of(turned, "real+50%", "auroc")["difference"] == pytest.approx(-gain["difference"])


def test_primary_arms_of_other_names_are_compared_too(finished, better):
    locked = read_json(better / "locked.json")
    locked["chosen"]["fold-0"]["arm"] = "synthetic-only"
    write_json(better / "locked.json", locked)
    found = compare_studies(finished, better)
    pairs = {(d["arm"], d["baseline"]) for d in found["differences"]}
    assert ("synthetic-only", "real+50%") in pairs
    assert found["second"]["primary"] == "synthetic-only"


def test_studies_that_cannot_be_compared_are_refused(finished, better, tmp_path):
    split = read_json(better / "split.json")
    fold = split["folds"][0]
    fold["test"], fold["validation"] = fold["test"][1:], [*fold["validation"], fold["test"][0]]
    write_json(better / "split.json", split)
    with pytest.raises(InputError, match=r"better: tests other patients than .*run; compare studies of"):
        compare_studies(finished, better)
    (better / "locked.json").unlink()
    with pytest.raises(InputError, match=r"better: there is no locked.json yet; run `nucleosynth study run`"):
        compare_studies(finished, better)
    with pytest.raises(InputError, match="nowhere: no study here"):
        compare_studies(finished, tmp_path / "nowhere")
