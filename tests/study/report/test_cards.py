from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml
from tests.places import RESULTS
from tests.study.records import PRIMARY, audit, few_patients, half_finished, sample_record

from nucleosynth.files import read_json
from nucleosynth.study.report.cards import dataset_card, licence, model_card, write_cards


def front(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    return dict(yaml.safe_load(card.split("---\n")[1]))


def words_of(card: str) -> str:
    return " ".join(card.replace("\u202f", " ").split())


def test_the_card_of_the_tiles_says_what_they_are_and_what_not() -> None:
    card = dataset_card(sample_record() | {"memorization": audit(2)})
    assert front(card) == {
        "license": "cc0-1.0",
        "task_categories": ["image-classification"],
        "tags": ["histopathology", "synthetic", "diffusion", "nucleosynth"],
    }
    text = words_of(card)
    for words in (
        "not for diagnosis", "50 of 32 px at 0.5 µm/px", "normal 25, atypical 25", "`generator-one`",
        "of the 20 training patients", "licence of the source data | CC0", "Synthetic tiles help",
        "against augmented in AUROC, where the 95 % interval begins at +0.005",
        "| 0.041, 95 % interval 0.033 to 0.050 |", "other real patients | 0.018",
        "two halves of the training patients | 0.052", "chance level | 0.123", "on real tiles | 0.654",
        "Of 60 tiles drawn", "31 other patients", "- few tiles.", "`protocol-hash`",
    ):  # fmt: skip
        assert words in text, words


def test_cards_of_variations_say_that_the_figures_are_of_other_tiles() -> None:
    record = sample_record()
    record["protocol"]["synthesis"]["variation"] = 1.0
    tiles, model = words_of(dataset_card(record)), words_of(model_card(record))
    assert "**variations**: each begins with the pixels of its donor, noised to level 1.00" in tiles
    for card in (tiles, model):
        assert "of tiles drawn from noise, not of the variations" in card
    assert "variations" not in words_of(model_card(sample_record()))


def test_the_card_of_the_generator_names_its_training_data() -> None:
    card = model_card(sample_record())
    assert front(card)["library_name"] == "nucleosynth"
    text = words_of(card)
    for words in (
        "not for diagnosis", "classes | normal, atypical", "60 tiles of 20 patients",
        "6 validation and 40 test patients", "initial weights | `nucleosynth/tissue-prior`",
        "640 tiles with repeats",
        "`spectral`, 10 steps", "`generator-two` | 0.046", "Not searched for. Do not share before you have",
        "nucleosynth study run small.yaml",
    ):  # fmt: skip
        assert words in text, words


def test_initial_weights_that_were_not_recorded_are_not_called_none() -> None:
    record = sample_record()
    del record["generator"]["start"]
    assert "initial weights | not recorded; the protocol says: tissue-prior" in words_of(model_card(record))
    record["generator"]["start"] = None
    assert "initial weights | none, trained from scratch" in words_of(model_card(record))


def test_generators_of_fewer_patients_are_no_other_seeds() -> None:
    assert words_of(model_card(sample_record())).count("`generator-two`") == 1


def test_tables_of_the_cards_are_unbroken() -> None:
    record = sample_record() | {"memorization": audit(2)}
    for card in (dataset_card(record), model_card(record)):
        lines = card.splitlines()
        for before, line in pairwise(lines):
            if line.startswith("|---"):
                assert before.startswith("| ")
                assert before.count("|") == line.count("|")


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ("CC BY 4.0", "cc-by-4.0"), ("MIT", "mit"), ("Apache-2.0", "apache-2.0"), ("", "unknown"),
        (None, "unknown"), ("ask the hospital", "other"),
    ],
)  # fmt: skip
def test_licences_are_named_as_hugging_face_names_them(stated, identifier) -> None:
    found = licence({"data": {"licence": stated}})
    assert found["license"] == identifier
    assert found.get("license_name") == ("ask the hospital" if identifier == "other" else None)


def test_cards_hold_no_patient_and_no_markup(tmp_path) -> None:
    record = few_patients()
    record["data"]["classes"] = ["<script>", "a|b"]
    record["synthesis"]["per_class"] = {"<script>": 1, "a|b": 2}
    for path in write_cards(record, tmp_path):
        text = path.read_text()
        assert "Miller" not in text
        assert "<script>" not in text
        assert "a|b" not in text


def test_what_is_not_there_has_no_card(tmp_path) -> None:
    assert write_cards(half_finished(), tmp_path) == []
    record = {**read_json(RESULTS / "tnbc" / "report.json"), "synthesis": None}
    assert [path.name for path in write_cards(record, tmp_path)] == ["MODEL_CARD.md"]
    assert "classes" not in (tmp_path / "MODEL_CARD.md").read_text()


def test_a_card_repeats_the_headline_of_its_study() -> None:
    record = sample_record()
    record["verdict"]["headline"] = f"No help shown: {PRIMARY} is not above real."
    assert record["verdict"]["headline"] in dataset_card(record)
    assert record["verdict"]["headline"] in model_card(record)
