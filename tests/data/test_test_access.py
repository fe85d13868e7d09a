"""The test-set access log: what counts as an access, where it is stored, what is refused without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.phantoms import tiny_study

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.classify.train import classify_tiles
from nucleosynth.data.split import Fold, Split
from nucleosynth.data.test_access import access_log_path, log_protocol, require_access_log
from nucleosynth.errors import InputError
from nucleosynth.files import read_jsonl


def accessed(name: str, *made_of: str) -> list[str]:
    found = log_protocol(["p:1", "p:2"], name=name, protocol_hash="same", made_of=made_of)
    return [entry["name"] for entry in found]


def test_the_same_protocol_on_other_tiles_or_by_another_generator_is_another_access():
    assert accessed("first", "tiles") == []
    assert accessed("again", "tiles") == []
    assert accessed("other tiles", "others") == ["first"]
    assert accessed("a generator", "tiles", "generator") == ["first", "other tiles"]
    assert accessed("first once more", "tiles") == [], "it was there before the others"


def test_a_line_cut_short_hides_no_other_access():
    accessed("first", "a")
    with access_log_path().open("a", encoding="utf-8") as log:
        log.write('{"time": "2025')
    assert accessed("second", "b") == ["first"]
    assert accessed("third", "c") == ["first", "second"]
    assert len(access_log_path().read_text().splitlines()) == 4


def test_it_is_kept_apart_from_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("NUCLEOSYNTH_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert access_log_path() == tmp_path / "nucleosynth" / "test_access.jsonl"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert access_log_path() == Path.home() / ".local" / "state" / "nucleosynth" / "test_access.jsonl"


def test_a_log_that_cannot_be_written_is_refused_before_training(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUCLEOSYNTH_STATE", str(tmp_path / "file" / "below"))
    with pytest.raises(InputError, match=r"test_access.jsonl: cannot be written \(.*set NUCLEOSYNTH_STATE"):
        require_access_log()


def test_a_classifier_scored_on_test_patients_is_an_access(tiles, tmp_path):
    names = sorted(set(tiles.patients.tolist()))
    split = Split(rule="x", folds=[Fold(train=names[:4], validation=names[4:6], test=names[6:])])
    config = ClassifierConfig.model_validate(tiny_study()["classifier"])
    classify_tiles(tiles, split, config, out=tmp_path / "a", device="cpu")
    assert not access_log_path().exists()
    for name, seed in (("a", 0), ("b", 1)):
        classify_tiles(tiles, split, config, out=tmp_path / name, seed=seed, device="cpu", test=True)
    (access,) = read_jsonl(tmp_path / "b" / "test_access.jsonl")
    assert [(entry["name"], entry["shared"]) for entry in access["earlier"]] == [("a", 2)]
    found = log_protocol(names[6:7], name="study", protocol_hash="of a study")
    assert [entry["name"] for entry in found] == ["a", "b"]
