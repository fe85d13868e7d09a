from __future__ import annotations

import copy
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.places import RESULTS
from tests.study.pages import text_of
from tests.study.records import PATIENTS, PRIMARY, audit, few_patients, sample_pictures, sample_record

from nucleosynth.errors import InputError
from nucleosynth.files import read_json
from nucleosynth.render.page import tile_figure
from nucleosynth.study.report.page import build_report, pseudonymise, save_figures

pytestmark = pytest.mark.slow

FEW = ("real", "oversampled", PRIMARY)


@pytest.fixture
def record() -> dict[str, Any]:
    return sample_record(FEW)


@pytest.fixture
def small() -> dict[str, Any]:
    return few_patients(FEW)


@pytest.fixture
def pictures() -> dict[str, Any]:
    return sample_pictures()


class Loads(HTMLParser):
    """Collects what a page would fetch, and the tags that it opens."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]


def test_report_is_one_file_that_loads_nothing(record, pictures, tmp_path) -> None:
    page = build_report(record, pictures, tmp_path).read_text()
    found = Loads(page)
    assert [url[:30] for url in found.urls if not url.startswith(("data:", "#"))] == []
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert "@import" not in page
    assert "url(" not in page
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.json", "results.csv", "arms.csv", "comparisons.csv", "DATASET_CARD.md",
        "MODEL_CARD.md",
    }  # fmt: skip
    assert all(f'id="{url[1:]}"' in page for url in found.urls if url.startswith("#"))


def test_report_says_what_the_record_holds(record, pictures, tmp_path) -> None:
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    for words in (
        "Synthetic tiles help", "By 0.05 on 40 patients.", "protocol-hash", "by patient",
        "+0.020 to +0.080", "verdict on real+50%", "0.123", "0.654", "0.0412", "0.0330 to 0.0500", "0.0521",
        "0.0182", "31.7", "lite0", "weights-hash", "few tiles", "its scores are too high", "content-hash",
        "split-hash", "classification", "a cpu", "30 min", "PQ", "0.411", "0.021", "0.522", "0.033",
        "coverage 0.444 0.800 0.55", "recall 0.322", "precision 0.611", "density 0.733",
    ):  # fmt: skip
        assert words in text.replace("\u202f", " "), words
    assert (
        text.index("Synthetic tiles help")
        < text.index("What was compared")
        < text.index("Do synthetic tiles help? The claim")
    )


def test_real_and_synthetic_tiles_are_paired_with_requested_masks(record, pictures, tmp_path) -> None:
    page = build_report(record, pictures, tmp_path).read_text()
    for group in ("real", "synthetic"):
        for tiles in pictures[group].values():
            assert tile_figure(tiles, columns=4, alt="").picture in page
    outlines = tile_figure(
        pictures["synthetic"]["normal"], pictures["synthetic_masks"]["normal"], columns=4, alt=""
    ).outlines
    assert page.count('class="outlines"') == 1
    assert outlines in page


def test_scores_stand_on_their_scale_between_chance_and_ceiling(record, pictures, tmp_path) -> None:
    page = build_report(record, pictures, tmp_path).read_text()
    places = re.findall(r'<div class="mark[^"]*" style="left: ([\d.]+)%"><span>([a-z ]+) [\d.]+</span>', page)
    assert places[:3] == [("12.3", "chance level"), ("60.0", "synthetic tiles"), ("65.4", "real tiles")]
    kid = {name: float(place) for place, name in places[3:]}
    assert kid["other real patients"] < kid["synthetic"] < kid["within the training patients"] < 100
    assert kid["synthetic"] / kid["other real patients"] == pytest.approx(0.0412 / 0.0182, rel=1e-3)


def test_json_is_the_record(record, pictures, tmp_path) -> None:
    before = copy.deepcopy(record)
    build_report(record, pictures, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == record == before


def test_values_that_are_no_numbers_become_null_and_a_dash(record, pictures, tmp_path) -> None:
    record["arms"][0]["metrics"]["auroc"]["mean"] = math.nan
    record["arms"][1]["metrics"]["balanced_accuracy"]["per_seed"] = [np.float64("nan"), np.float32(0.5)]
    page = build_report(record, pictures, tmp_path).read_text()
    stored = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert stored["arms"][0]["metrics"]["auroc"]["mean"] is None
    assert stored["arms"][1]["metrics"]["balanced_accuracy"]["per_seed"] == [None, 0.5]
    assert "nan" not in text_of(page).lower().split()


def test_hostile_names_stay_names(record, pictures, tmp_path) -> None:
    evil = "<script>alert('$x')</script>"
    for place, key in ((record, "name"), (record, "command"), (record["verdict"], "headline")):
        place[key] = evil
    record["data"]["classes"] = [evil, "atypical"]
    for kind in ("real", "synthetic", "synthetic_masks"):
        pictures[kind] = {evil if name == "normal" else name: v for name, v in pictures[kind].items()}
    for entry in (record["protocol"]["arms"], record["arms"], record["results"], record["comparisons"]):
        entry[-1]["arm"] = evil
    record["provenance"]["hashes"] = {'"><img src=x>': evil}
    page = build_report(record, pictures, tmp_path).read_text()
    found = Loads(page)
    assert "script" not in found.tags
    assert "x" not in found.urls
    assert "&lt;script&gt;" in page


def test_a_shared_report_shows_no_real_tile_and_no_patient(small, pictures, tmp_path) -> None:
    small["provenance"]["note"] = "extra:9 was left out"
    build_report(small, pictures, tmp_path / "own")
    build_report(small, pictures, tmp_path / "shared", real_tiles=False, patients=["extra:9"])
    real = [tile_figure(tiles, columns=4, alt="").picture for tiles in pictures["real"].values()]
    own = (tmp_path / "own/report.html").read_text()
    shared = (tmp_path / "shared/report.html").read_text()
    assert all(picture in own for picture in real)
    assert PATIENTS[0] in own
    everything = "".join(path.read_text() for path in (tmp_path / "shared").iterdir())
    assert not any(picture in everything for picture in real)
    assert not any(re.search(rf"{name}(?!\d)", everything) for name in (*PATIENTS, "extra:9"))
    assert "tnbc:Miller 99" in everything  # not one of the patients: a longer name is another name
    assert "no picture of a real tile" in text_of(shared)
    synthetic = tile_figure(pictures["synthetic"]["normal"], columns=4, alt="").picture
    assert synthetic in shared


def test_pseudonyms_are_consistent_and_tell_nothing_by_their_order(small) -> None:
    renamed = pseudonymise(small)
    first, *others = (comparison["per_patient"] for comparison in renamed["comparisons"])
    assert all(list(first) == list(other) == [f"patient {i}" for i in range(1, 8)] for other in others)
    assert list(first.values()) == sorted(first.values())
    by_id = small["comparisons"][1]["per_patient"]
    assert others[0]["patient 1"] == by_id[PATIENTS[-1]]  # the last id has the smallest difference
    assert renamed["test_access"][0]["what"] == "patient 5 and tnbc:Miller 99"
    assert small["comparisons"][0]["per_patient"].keys() == set(PATIENTS)


def test_patients_of_other_comparisons_get_numbers_too(record) -> None:
    record["segmentation"] = {"comparisons": [{"per_patient": {"site:B": -0.1, "site:A": 0.2}}]}
    record["note"] = "site:A was hard"
    renamed = pseudonymise(record)
    assert renamed["segmentation"]["comparisons"][0]["per_patient"] == {"patient 1": -0.1, "patient 2": 0.2}
    assert renamed["note"] == "patient 2 was hard"


def test_few_patients_get_values_and_no_interval(small, pictures, tmp_path) -> None:
    page = build_report(small, pictures, tmp_path).read_text()
    text = text_of(page)
    assert "7 test patients the data do not support an interval" in text
    assert "bootstrap" not in text
    assert "weakest comparison" not in text
    assert "nothing is claimed" in text
    assert "one dot per test patient" in page
    for name in PATIENTS:
        assert f"<th>{name}</th>" in page


def test_a_study_without_classes_leaves_the_arms_out_and_says_why(record, pictures, tmp_path) -> None:
    record |= {"arms": [], "comparisons": [], "results": [], "claim": None, "choice": None}
    record["protocol"]["arms"], record["data"]["classes"] = [], []
    record["agreement"]["test"] |= dict.fromkeys(("ceiling", "ceiling_chance", "corrected"))
    record["agreement"]["test"] |= {"kind": "consistency"}
    for part in record["data"]["parts"].values():
        part["per_class"] = {}
    for kind in ("real", "synthetic", "synthetic_masks"):
        pictures[kind] = {"all": pictures[kind]["normal"]}
    page = build_report(record, pictures, tmp_path).read_text()
    text = text_of(page)
    assert "have no classes" in text
    assert "Does it help?" not in text
    assert "Do synthetic tiles help?" not in text
    assert "Which classes are confused" not in text
    assert "consistency" in text
    assert "ceiling (real)" not in text
    assert "0.411" in text
    assert "0.522" not in text
    assert tile_figure(pictures["real"]["all"], columns=4, alt="").picture in page


@pytest.mark.parametrize("name", ["tnbc", "amibr", "amibr-chosen", "amibr-low-data", "amibr-scratch"])
def test_committed_records_still_make_a_report(name, tmp_path) -> None:
    record = read_json(RESULTS / name / "report.json")
    text = text_of(build_report(record, {}, tmp_path).read_text())
    assert f"{record['fidelity']['test']['kid']:.4f}" in text
    assert "Coverage is the share of real tiles" in text


def test_missing_scores_and_pictures_are_left_out(record, tmp_path) -> None:
    record |= {"agreement": None, "fidelity": None, "test_access": []}
    text = text_of(build_report(record, {}, tmp_path).read_text())
    assert "Do the nuclei follow" not in text
    assert "How close are the tiles" not in text
    assert "No tile pictures" in text
    assert "None recorded" in text


def test_documentation_figures_show_synthetic_tiles_alone(record, pictures, tmp_path) -> None:
    written = save_figures(record, pictures, tmp_path)
    of_arms = {"forest", "dose_response", "confusion", "reliability"}
    names = {*of_arms, "loss", "synthetic_grid", "masks_and_tiles"}
    assert {path.stem for path in written} == names
    without_real = save_figures(record, pictures | {"real": {}}, tmp_path / "again")
    for path, other in zip(written, without_real, strict=True):
        with Image.open(path) as a, Image.open(other) as b:
            assert np.array_equal(np.asarray(a), np.asarray(b))


def test_a_failed_drawing_leaves_the_record(record, pictures, tmp_path) -> None:
    pictures["real"]["normal"] = np.zeros((2, 32, 32, 3), np.float32)
    with pytest.raises(InputError, match="uint8"):
        build_report(record, pictures, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == record
    assert not (tmp_path / "report.html").exists()


def test_copies_are_counted_and_the_nearest_pairs_shown(record, pictures, tmp_path) -> None:
    record["memorization"] = audit(2)
    pictures["pairs"] = (pictures["synthetic"]["normal"], pictures["real"]["normal"])
    page = build_report(record, pictures, tmp_path).read_text()
    text = text_of(page)
    assert "No more copies shown than chance" in text
    assert "3 of 60 control tiles" in text
    assert "2 of 60 synthetic tiles" in text
    assert "0.679" in text
    assert "31 other patients" in text
    assert "few held-out tiles" in text
    assert "the 4 training tiles nearest to them" in page


def test_a_shared_report_counts_copies_and_shows_none(record, pictures, tmp_path) -> None:
    record["memorization"] = audit(0)
    pictures["pairs"] = (pictures["synthetic"]["normal"], pictures["real"]["normal"])
    page = build_report(record, pictures, tmp_path, real_tiles=False).read_text()
    assert "Are tiles copies" in text_of(page)
    assert "training tiles nearest" not in page


def test_a_record_without_an_audit_speaks_of_no_copies(record, pictures, tmp_path) -> None:
    assert "Are tiles copies" not in text_of(build_report(record, pictures, tmp_path).read_text())
