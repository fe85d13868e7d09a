"""What a report says of arms, the claim, and a study that is not finished."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.study.pages import section, text_of
from tests.study.records import (
    PRIMARY,
    half_finished,
    morphology,
    one_arm,
    sample_pictures,
    sample_record,
    segmentation_arms,
)

from nucleosynth.study.report import page as report
from nucleosynth.study.report.page import build_report

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch) -> None:
    """Figures are made and not drawn, which is what takes the time; `test_report` draws them."""
    monkeypatch.setattr(report, "svg_data_uri", lambda figure: "data:image/svg+xml,")


@pytest.fixture
def record() -> dict[str, Any]:
    return sample_record()


@pytest.fixture
def pictures() -> dict[str, Any]:
    return sample_pictures()


def test_the_verdict_comes_first_with_its_weakest_comparison(record, pictures, tmp_path) -> None:
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    weakest = (
        f"{PRIMARY} compared with augmented in AUROC, where the 95 % interval lies above zero, from +0.005"
    )
    assert text.index("Synthetic tiles help") < text.index(weakest) < text.index("What was compared")
    assert "Not finished" not in text
    assert "were changed after" not in text
    record["claim"] |= {"lacking": ["5 generators (here 2)"]}
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    assert "They do, but a claim of help also needs 5 generators (here 2): no claim" in text
    record["claim"] |= {"holds": False}
    record["claim"]["weakest"] |= {"bound": -0.012}
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    assert "begins at \u22120.012, not above zero" in text
    assert "They do not." in text


def test_many_lines_leave_room_for_masks_and_fidelity(record, pictures, tmp_path) -> None:
    record["verdict"]["lines"] = [f"line {i}." for i in range(20)]
    page = build_report(record, pictures, tmp_path).read_text()
    spoken = [line for line in range(20) if f'<p class="lede">line {line}.</p>' in page]
    assert spoken == [0, 1, 2, 17, 18, 19]
    assert all(f"line {i}." in page for i in range(20))


def test_the_claim_names_every_rival_in_both_measures(record, pictures, tmp_path) -> None:
    text = section(build_report(record, pictures, tmp_path).read_text(), "help")
    claim = text.partition("Every arm against")[0]
    for words in (
        "must be better than each of these in balanced accuracy and in AUROC", "They do.", "weakest of all",
        "oversampled +0.040 +0.010 to +0.070", "shuffled +0.070 +0.040 to +0.100",
    ):  # fmt: skip
        assert words in claim, words


def test_patients_and_tiles_of_a_data_fraction_are_counted(record, pictures, tmp_path) -> None:
    text = section(build_report(record, pictures, tmp_path).read_text(), "data")
    assert "train 20 60 55 92 % 5 8 % of these, 50 % 10 31 28 90 % 3 10 % validation" in text


def test_the_other_arms_are_corrected_for_being_many(record, pictures, tmp_path) -> None:
    for one in record["comparisons"]:
        if (one["arm"], one["fraction"], one["metric"]) == ("rare-only", 1.0, "balanced_accuracy"):
            one |= {"p_holm": 0.0734, "interval": [0.001, 0.059], "verdict": "helps"}
    text = section(build_report(record, pictures, tmp_path).read_text(), "help")
    row = text.partition("reading augmented")[2].partition("p and reading are")[0]
    assert (
        "rare-only +0.030 +0.001 to +0.059 +0.030 +0.000 to +0.060 < 0.001 0.073 helps, not when corrected"
        in row
    )
    assert f"{PRIMARY} +0.050 +0.020 to +0.080 +0.050 +0.020 to +0.080 < 0.001 \u2013" in row


def test_every_kind_of_arm_is_explained(record, pictures, tmp_path) -> None:
    text = section(build_report(record, pictures, tmp_path).read_text(), "protocol")
    for words in (
        "the arm to beat", "strongly augmented", "rare classes drawn more often", "natural class frequencies",
        "real+25% 25 % synthetic", "(primary arm)", "most certain of", "labels shuffled", "upper limit",
        "but the most frequent", "for the first 50 % of the steps", "do they show their class",
    ):  # fmt: skip
        assert words in text, words


def test_the_report_says_how_the_primary_arm_was_chosen(record, pictures, tmp_path) -> None:
    page = build_report(record, pictures, tmp_path).read_text()
    text = section(page, "protocol")
    for words in (
        "highest mean AUROC", "by 3 folds of the training patients", "2025-01-01 10:19 UTC, after 0 accesses",
        "real+25% 0.800 0.800", f"{PRIMARY} 0.812 chosen 0.812 chosen", "fold 0, 50 % of the patients",
    ):  # fmt: skip
        assert words in text, words
    record["choice"]["accesses_before"] = 3
    record["protocol"]["changed"] = True
    page = build_report(record, pictures, tmp_path).read_text()
    top = text_of(page.partition("<main>")[0])
    assert "had been used 3 times before the primary arm was locked" in top
    assert "settings were changed after the protocol was written" in top


def test_a_named_arm_and_none_at_all(record, pictures, tmp_path) -> None:
    chosen = {"arm": PRIMARY, "by": "protocol", "metric": None, "scores": {}}
    record["choice"]["chosen"] = {"fold-0": chosen}
    record["protocol"]["primary_arm"] = PRIMARY
    text = section(build_report(record, pictures, tmp_path).read_text(), "protocol")
    assert f"about one arm, {PRIMARY}, named in the protocol" in text
    record["protocol"]["primary_arm"] = "chosen"
    text = section(build_report(record, pictures, tmp_path).read_text(), "protocol")
    assert "the only one with real and synthetic tiles" in text


def test_folds_may_choose_different_arms(record, pictures, tmp_path) -> None:
    record["protocol"] |= {"folds": 2, "fractions": [1.0]}
    record["choice"]["chosen"]["fold-1"] = {**record["choice"]["chosen"]["fold-0"], "arm": "real+25%"}
    record["claim"] |= {"arm": "chosen"}
    wanted = [one for one in record["comparisons"] if one["arm"] == PRIMARY and one["fraction"] == 1]
    record["comparisons"] += [{**one, "arm": "chosen"} for one in wanted]
    page = build_report(record, pictures, tmp_path).read_text()
    assert "the one chosen in each fold" in section(page, "protocol")
    assert "the arm chosen in each fold, must be better than" in section(page, "help")


def test_every_figure_appears(record, pictures, tmp_path) -> None:
    record["morphology"] = morphology()
    page = build_report(record, pictures, tmp_path).read_text()
    plots = re.findall(r'<img src="data:image/svg[^"]*" alt="([^"]*)"', page)
    for words in (
        "difference of each arm", "against its share of synthetic", "fraction of the training patients",
        "against predicted probability", "training loss", "distance of synthetic nuclei",
    ):  # fmt: skip
        assert sum(words in alt for alt in plots) == 1, words


def test_fractions_classes_calibration_and_patient_level_scores_have_tables(
    record, pictures, tmp_path
) -> None:
    text = section(build_report(record, pictures, tmp_path).read_text(), "help")
    for words in (
        "arm 50 % of patients 100 % of patients", "held-back 0.730 +0.080 (+0.050 to +0.110) \u2013",
        "0.857 0.938 0.895 0.600 \u2013 0.462", "0.057 0.047 to 0.067 0.123 0.113 to 0.133",
        "0.811 0.801 to 0.821 0.833 0.823 to 0.843", "38 patients, 2 left out", "probability of atypical",
    ):  # fmt: skip
        assert words in text, words


def test_calibration_explains_the_effect_of_equal_class_weights(record, pictures, tmp_path) -> None:
    for balance, said in (("loss", True), ("none", False)):
        record["protocol"]["classifier"] = {**record["protocol"]["classifier"], "balance": balance}
        text = text_of(build_report(record, pictures, tmp_path).read_text())
        assert ("Training gave all classes equal weight" in text) is said


def test_a_single_data_fraction_is_not_mentioned(record, pictures, tmp_path) -> None:
    record["protocol"]["fractions"] = [1.0]
    for name in ("arms", "results", "comparisons"):
        record[name] = [one for one in record[name] if one["fraction"] == 1]
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    assert "With fewer training patients" not in text
    assert "patients used" not in text


def test_generators_of_several_seeds_are_compared(record, pictures, tmp_path) -> None:
    text = section(build_report(record, pictures, tmp_path).read_text(), "making")
    assert "initial weights nucleosynth/tissue-prior training steps 10" in text
    assert "generator-two 100 % 10 0.0456 0.56 0.90 3" in text
    assert "generator-two 50 % 10 0.0456 0.56 0.90 3" in text
    record["generators"] = record["generators"][:1]
    record["protocol"]["generator_seeds"] = 1
    text = text_of(build_report(record, pictures, tmp_path).read_text())
    assert "different seeds" not in text
    assert "Only one generator was trained: no interval" in text


def test_a_study_half_way_says_what_is_missing(pictures, tmp_path) -> None:
    record = half_finished()
    page = build_report(record, {"real": pictures["real"]}, tmp_path).read_text()
    top = text_of(page.partition("<main>")[0])
    assert top.index("Not finished: 1") < top.index("2 parts are missing") < top.index("real tiles 120")
    for words in (*record["missing"], "compared once all of their classifiers are scored"):
        assert words in top, words
    text = text_of(page)
    for words in (
        "It is not locked yet",
        "No generator has been scored yet",
        "no synthetic ones yet",
        "None recorded",
    ):
        assert words in text, words
    assert "The claim</h3>" not in page
    assert "With fewer training patients" not in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.json", "results.csv", "arms.csv",
    }  # fmt: skip


def test_before_any_classifier_is_scored(pictures, tmp_path) -> None:
    record = half_finished() | {"arms": [], "results": []}
    text = text_of(build_report(record, {}, tmp_path).read_text())
    assert "No classifier has been scored on the test patients yet" in text


def test_a_single_arm_is_compared_with_nothing(pictures, tmp_path) -> None:
    page = build_report(one_arm(), pictures, tmp_path).read_text()
    text = text_of(page)
    assert "so there is no claim" in text
    assert "Every arm against real" not in text
    assert "by dose" not in text
    assert "real 0.700" in text
    assert "can the probabilities be trusted" in text


def test_nuclei_are_compared_with_those_of_real_patients(record, pictures, tmp_path) -> None:
    assert 'id="morphology"' not in build_report(record, pictures, tmp_path).read_text()
    record["morphology"] = morphology()
    text = section(build_report(record, pictures, tmp_path).read_text(), "morphology")
    for words in ("found by judge", "777 real and 777 synthetic", "all area 30.50 33.25 0.27 0.37"):
        assert words in text, words
    assert "atypical chromatin heterogeneity 30.50 33.25 \u2013 0.37" in text


def test_the_segmentation_arms_have_a_table(record, pictures, tmp_path) -> None:
    assert 'id="segmentation"' not in build_report(record, pictures, tmp_path).read_text()
    record["segmentation"] = segmentation_arms()
    text = section(build_report(record, pictures, tmp_path).read_text(), "segmentation")
    for words in (
        "900 steps each", "123 real tiles", "real tiles 100 % 0.500 0.490 to 0.510 \u2013",
        "synthetic tiles 100 % 0.400 0.390 to 0.410 \u22120.100 \u22120.130 to \u22120.070",
        "both 100 % 0.550 0.540 to 0.560 +0.050 +0.020 to +0.080",
    ):  # fmt: skip
        assert words in text, words
    record["segmentation"] = segmentation_arms(half=None) | {"kind": "consistency"}
    text = section(build_report(record, pictures, tmp_path).read_text(), "segmentation")
    assert "too few test patients for intervals" in text
    assert "not agreement with a pathologist" in text
    record["segmentation"] |= {"arms": [], "comparisons": []}
    assert "No segmenter has been scored" in build_report(record, pictures, tmp_path).read_text()
