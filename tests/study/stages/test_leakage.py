"""Leakage check: pretrained components were trained on no held-out patient."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.phantoms import tiny_study

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.train import classify_tiles
from nucleosynth.config import parse
from nucleosynth.data.split import Fold, Split
from nucleosynth.errors import InputError
from nucleosynth.files import write_json
from nucleosynth.study.design.config import StudyConfig
from nucleosynth.study.design.fits import Fit
from nucleosynth.study.run import run_study
from nucleosynth.study.stages.leakage import refuse_leakage, training_patients_of


@pytest.fixture
def split(tiles):
    names = sorted(set(tiles.patients.tolist()))
    return Split(rule="x", folds=[Fold(train=names[:4], validation=names[4:6], test=names[6:])])


@pytest.fixture
def fits(split):
    """All training patients, and an inner fold that holds the last two of them out."""
    (whole,) = split.folds
    inner = Fold(train=whole.train[:2], validation=whole.train[2:])
    return {Fit(): whole, Fit(0, 1.0, 0): inner}


@pytest.fixture
def run(tiles, split, tmp_path) -> Path:
    """A classifier of the four training patients."""
    config = ClassifierConfig.model_validate(tiny_study()["classifier"])
    classify_tiles(tiles, split, config, out=tmp_path / "classifier", device="cpu")
    return tmp_path / "classifier"


def study(**changes) -> StudyConfig:
    return parse(StudyConfig, tiny_study(**changes))


def starting_from(path: Path) -> StudyConfig:
    return study(classifier={**tiny_study()["classifier"], "weights": str(path / "model.safetensors")})


def test_initial_weights_are_checked_against_the_patients_of_each_fit(tiles, split, fits, run):
    assert training_patients_of(run) == set(split.folds[0].train)
    refuse_leakage(starting_from(run), tiles, split, {Fit(): fits[Fit()]})
    third = split.folds[0].train[2]
    with pytest.raises(InputError, match=f"fold-0/choice-0: was trained on patient {third}, who is outside"):
        refuse_leakage(starting_from(run), tiles, split, fits)


def test_an_extractor_that_chooses_tiles_is_checked_against_each_fit(tiles, split, fits, run):
    own = {"extractor": f"classifier:{run}"}
    refuse_leakage(study(fidelity=own), tiles, split, fits)
    chooses = {"doses": [0.5], "filters": ["typicality"]}
    with pytest.raises(InputError, match=r"choice-0: was trained on patient"):
        refuse_leakage(study(fidelity=own, arms=chooses), tiles, split, fits)
    swapped = Split(rule="x", folds=[Fold(train=split.folds[0].test, test=split.folds[0].train)])
    with pytest.raises(InputError, match=r"classifier:.*, fold-0: was trained on patient"):
        refuse_leakage(study(fidelity=own), tiles, swapped, {})


def test_a_segmenter_is_known_by_its_card(tiles, split, tmp_path):
    test = split.folds[0].test[0]
    write_json(tmp_path / "card.json", {"training": [{"patients": ["elsewhere:1"]}, {"patients": [test]}]})
    one = study(segmenter={"judge": f"weights:{tmp_path}"})
    with pytest.raises(InputError, match=f"weights:.*, fold-0: was trained on patient {test}"):
        refuse_leakage(one, tiles, split, {})
    write_json(tmp_path / "card.json", {"training": [{"patients": ["elsewhere:1"]}]})
    refuse_leakage(one, tiles, split, {})


def test_weights_without_a_record_of_patients_give_a_warning(tiles, split, fits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        refuse_leakage(starting_from(tmp_path), tiles, split, fits)
    assert "does not record its training patients" in caplog.text


def test_a_study_refuses_before_it_trains(tiles, run, tmp_path):
    flipped = starting_from(run).model_copy(update={"seed": 3})
    with pytest.raises(InputError, match="was trained on patient"):
        run_study(flipped, out=tmp_path / "study", device="cpu")
    assert not list((tmp_path / "study").glob("fold-0*"))
