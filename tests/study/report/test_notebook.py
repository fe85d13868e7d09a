"""The report of a study as an object."""

from __future__ import annotations

import os

from tests.data.test_selection import check_html

from nucleosynth.files import write_json
from nucleosynth.study.report.notebook import StudyReport

RECORD = {
    "name": "small <1>",
    "verdict": {"headline": "No help shown.", "lines": ["One & two.", "Three."]},
    "protocol": {"metrics": ["balanced_accuracy", "auroc"]},
    "data": {"tiles": 1200, "patients": 12, "parts": {"test": {"patients": 3}}},
    "arms": [
        {
            "arm": "real",
            "fraction": 1.0,
            "runs": 3,
            "metrics": {"balanced_accuracy": {"mean": 0.81249, "min": 0.8, "max": 0.82}},
        },
        {"arm": "left out", "fraction": 0.5, "runs": 3, "metrics": {}},
    ],
    "fidelity": {"test": {"kid": 0.0712, "real_reference": {"between": 0.0101}}},
    "agreement": {"test": {"iou": 0.61, "chance": 0.2}},
    "memorization": {"copies": {"synthetic": {"copies": 0}}},
}


def report(folder, record=RECORD):
    write_json(folder / "report.json", record)
    (folder / "report.html").write_text("<p>page</p>")
    return StudyReport(folder / "report.html")


def test_it_stands_for_its_path(tmp_path):
    made = report(tmp_path)
    assert str(made) == os.fspath(made) == str(tmp_path / "report.html")
    assert made == tmp_path / "report.html"
    assert made.parent == tmp_path
    assert made.read_text() == "<p>page</p>"
    assert made.record["name"] == "small <1>"
    assert {made, tmp_path / "report.html"} == {made}


def test_it_shows_the_verdict_first_then_the_numbers(tmp_path):
    text = report(tmp_path)._repr_html_()
    check_html(text)
    wanted = [
        "small &lt;1&gt;: No help shown.",
        "One &amp; two.",
        "Three.",
        "real",
        "0.812 [0.800, 0.820]",
        "1,200 tiles, 12 patients, 3 of them held-out",
        "0.0712 (real-vs-real 0.0101)",
        "0.6100 (chance level 0.2000)",
        "report.html",
    ]
    places = [text.index(words) for words in wanted]
    assert places == sorted(places)
    assert "left out" not in text


def test_a_study_on_its_way_shows_what_there_is(tmp_path):
    check_html(report(tmp_path, {"name": "begun", "verdict": None, "arms": None})._repr_html_())


def test_many_comparisons_are_cut_short_and_counted(tmp_path):
    lines = [f"comparison {number}" for number in range(14)]
    text = report(tmp_path, {"verdict": {"headline": "No help shown.", "lines": lines}})._repr_html_()
    check_html(text)
    assert "comparison 9" in text
    assert "comparison 10" not in text
    assert "4 more comparisons are in the report." in text
