"""The paper's experiment runs as its protocol file states it, on a small faithful tree."""

from __future__ import annotations

import pytest
from tests.data.readers.mitos_tree import write_tree
from tests.phantoms import TINY_NETWORK
from tests.places import STUDIES

from nucleosynth.data.tileset import TileSet
from nucleosynth.files import read_json
from nucleosynth.study.design.config import load_study
from nucleosynth.study.run import run_study

STUDY = STUDIES / "mitos-atypia-14.yaml"
TRAINING, TEST = ("03", "04", "05", "07", "10"), ("06", "08")
SMALL = {
    "tiles.size": "64",
    "split.validation.folds": "3",
    "segmenter.make": "classical",
    "generator.steps": "3",
    "generator.batch": "2",
    "generator.network": str({**TINY_NETWORK, "unshuffle": 4}),
    "synthesis.tiles": "18",
    "synthesis.sampler": "ddim",
    "synthesis.steps": "2",
    "classifier.model": "test_resnet",
    "classifier.steps": "2",
    "classifier.batch": "8",
    "classifier.seeds": "1",
    "classifier.views": "1",
    "arms.doses": "[6, 12, 18]",
    "fidelity.extractor": "none",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    # no region is 03_00A, which alone has its true size
    scores = {f"{slide}_01{part}": 1 + "ABC".index(part) for slide in (*TRAINING, *TEST) for part in "ABC"}
    return write_tree(tmp_path_factory.mktemp("mitos"), scores=scores)


def test_the_protocol_is_the_papers():
    study = load_study(STUDY)
    assert study.generator.recipe.name == "per-class"
    assert (study.synthesis.sampler, study.synthesis.steps) == ("ddpm", 1000)
    assert list(study.arms.doses) == [8000 * step for step in range(1, 15)]
    assert study.synthesis.tiles >= max(study.arms.doses)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["per-class", "unified"])
def test_it_runs_on_a_small_tree_with_both_scans_of_a_slide_in_one_part(tree, tmp_path, recipe):
    study = load_study(STUDY, {**SMALL, "generator.recipe": recipe})
    out = run_study(study, out=tmp_path / "run", root=tree, device="cpu").parent
    fold = read_json(out / "split.json")["folds"][0]
    assert fold["test"] == [f"mitos-atypia-14:{slide}" for slide in TEST]
    tiles = TileSet.open(out / "tiles")
    assert set(tiles.slides[tiles.rows_of(fold["test"])].tolist()) == {
        f"mitos-atypia-14:{letter}{slide}" for letter in "AH" for slide in TEST
    }
    record = read_json(out / "report.json")
    doses = ["real+6", "real+12", "real+18"]
    assert [arm["arm"] for arm in record["arms"] if arm["arm"] in doses] == doses
    assert record["choice"]["chosen"]["fold-0"]["arm"] in doses
    assert "Too few test patients (2)" in record["verdict"]["headline"]
