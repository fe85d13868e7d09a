from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.study.records import METRICS, few_patients, one_arm, sample_record, segmentation_arms

from nucleosynth.study.report import tables
from nucleosynth.study.report.tables import write_tables


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_run_arm_and_comparison_can_be_read_back(tmp_path) -> None:
    record = sample_record()
    write_tables(record, tmp_path)
    runs, arms, compared = (read(tmp_path / f"{name}.csv") for name in ("results", "arms", "comparisons"))
    assert (len(runs), len(arms), len(compared)) == tuple(
        len(record[name]) for name in ("results", "arms", "comparisons")
    )
    for row, run in zip(runs, record["results"], strict=True):
        assert (row["arm"], float(row["fraction"]), int(row["seed"])) == (
            run["arm"],
            run["fraction"],
            run["seed"],
        )
        assert {m: float(row[m]) for m in METRICS} == run["metrics"]
        assert float(row["validation_auroc"]) == run["validation"]["auroc"]
    for row, one in zip(compared, record["comparisons"], strict=True):
        assert [float(row["low"]), float(row["high"])] == one["interval"]
        assert float(row["p_holm"] or "nan") == pytest.approx(one["p_holm"] or float("nan"), nan_ok=True)
    chosen = next(row for row in arms if row["filter"] == "confidence")
    assert (chosen["kind"], chosen["dose"]) == ("filtered", "0.5")
    assert float(chosen["auroc_mean"]) == 0.74
    assert (chosen["recall_atypical"], chosen["precision_atypical"]) == ("0.6", "")
    assert (float(chosen["ece_max"]), chosen["patients_scored"]) == (pytest.approx(0.0667), "38")


def test_without_intervals_their_bounds_are_empty_and_patients_stay_out(tmp_path) -> None:
    write_tables(few_patients(), tmp_path)
    rows = read(tmp_path / "comparisons.csv")
    assert {row["low"] + row["high"] + row["p_value"] for row in rows} == {""}
    assert "Miller" not in (tmp_path / "comparisons.csv").read_text()


def test_a_table_without_rows_is_not_written(tmp_path) -> None:
    assert [path.name for path in write_tables(one_arm(), tmp_path)] == ["results.csv", "arms.csv"]
    assert write_tables({}, tmp_path) == []


def test_names_with_commas_and_quotes_survive(tmp_path) -> None:
    record = sample_record()
    record["data"]["classes"] = ['a,"b"', "c\nd"]
    write_tables(record, tmp_path)
    assert 'recall_a,"b"' in read(tmp_path / "arms.csv")[0]
    assert "f1_c\nd" in read(tmp_path / "arms.csv")[0]


def test_a_table_appears_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    write_tables(sample_record(), tmp_path)
    before = (tmp_path / "results.csv").read_text()
    monkeypatch.setattr(tables, "_csv", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_tables(sample_record(), tmp_path)
    assert (tmp_path / "results.csv").read_text() == before
    assert not list(tmp_path.glob(".*"))


def test_segmenters_have_a_table_of_their_own(tmp_path) -> None:
    write_tables({"segmentation": segmentation_arms()}, tmp_path)
    real, synthetic, _ = read(tmp_path / "segmenters.csv")
    assert (real["arm"], real["pq_difference"], real["pq_low"]) == ("real", "", "")
    assert float(synthetic["pq_mean"]) == 0.4
    assert float(synthetic["f1_high"]) == pytest.approx(-0.07)
