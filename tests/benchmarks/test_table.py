"""The page of benchmarks is what its results render to, and says what they say."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.markdown import markdown_table, number, significant
from benchmarks.sections import SECTIONS
from benchmarks.table import PAGE, PICTURES, RESULTS, main, plots, read_results, render, save_plots, wrapped
from benchmarks.transfer_section import save_transfer_plots, transfer_plots

from nucleosynth.files import write_json

ENVIRONMENT = {
    "cores": 2,
    "cpu": "a processor",
    "threads": 2,
    "versions": {"torch": "2.0"},
    "peers": {"diffusers": "0.1"},
}


def quality_row(name: str, minutes: float, kid: float, *, peer: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "shows": "what it shows",
        "peer": peer,
        "budget": {"minutes": minutes},
        "parameters": 3_400_000,
        "steps": 1234,
        "tiles_per_second": 0.5,
        "load_before": 0.1,
        "fidelity": {
            "kid": kid,
            "kid_interval": [kid / 2, 2 * kid],
            "real_reference": {"within": 0.01, "between": 0.02, "n": 54},
        },
        "agreement": {"corrected": 0.9, "iou": 0.6, "chance": 0.1, "ceiling": 0.7, "ceiling_chance": 0.09},
        "coverage": {"synthetic": 0.4, "real": 0.5, "of_real": 0.8},
        "environment": ENVIRONMENT,
    }


def quality(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {
            "name": "TNBC",
            "tile": 64,
            "mpp": 0.5,
            "train": {"patients": 7, "tiles": 518},
            "held_out": {"patients": 1, "tiles": 54},
        },
        "settings": {"part": "validation", "samples": 256, "seed": 0, "extractor": "lite0", "judge": "judge"},
        "rows": list(rows),
    }


def transfer(*rows: tuple[str, int, float, float]) -> dict[str, Any]:
    found = [
        {
            **quality_row("x", minutes, kid),
            "train_seconds": 60 * minutes,
            "steps": round(400 * minutes),
            "start": start,
            "patients": patients,
            "lr": 0.001,
        }
        for start, patients, minutes, kid in rows
    ]
    return quality(*found)


def speed() -> dict[str, Any]:
    def timed(seconds: list[float], tiles: int, evaluations: int) -> dict[str, Any]:
        return {
            "evaluations": evaluations,
            "parameters": 2_000_000,
            "tiles": tiles,
            "tiles_per_second": tiles / sorted(seconds)[len(seconds) // 2],
            "seconds": seconds,
            "load_before": [0.5] * len(seconds),
        }

    rate = {"flop_per_second": 5e9, "load_before": [0.25]}
    return {
        "data": {"name": "TNBC", "tile": 64},
        "settings": {
            "batch": 32,
            "few": 3,
            "repeats": 3,
            "threads": 2,
            "dtype": "float32",
            "memory_layout": "channels_last",
            "weights": "random",
        },
        "near_the_limit": {
            "sampling loop": rate,
            "one convolution": {**rate, "flop_per_second": 8e9},
            "ratio": 0.625,
            "convolution": {"channels": 256, "side": 64, "kernel": 3, "batch": 32},
        },
        "contenders": {"ours": timed([1.0, 2.0, 4.0], 32, 10), "peer": timed([60.0], 3, 1000)},
        "environment": ENVIRONMENT,
    }


def test_the_page_is_what_its_results_render_to():
    assert PAGE.read_text(encoding="utf-8") == render(read_results(RESULTS)), "run python -m benchmarks.table"


def test_every_result_has_a_section():
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(SECTIONS)


def test_speed_tells_by_how_much_ours_is_faster():
    result = speed()
    result["near_the_limit"]["ratio"] = 0.63
    page = render({"sampling_speed": result})
    assert "| ours | 2.0 | 10 | 16 | 8 to 32 | 1 |" in page
    assert "| peer | 2.0 | 1,000 | 0.05 | one run | 320 |" in page
    assert "8 GFLOP/s: the loop reaches 0.63 of it" in page.replace("\n", " ")
    assert "load of the machine before: 0.2 to 0.5" in page.replace("\n", " ")
    assert "as long" not in page
    result["contenders"]["our network, DDPM-1000"] = {
        **result["contenders"]["peer"],
        "tiles_per_second": 0.08,
    }
    page = render({"sampling_speed": result}).replace("\n", " ")
    assert "more are needed, which takes 2 times as long per tile with our network)" in page


def test_quality_has_a_table_for_each_budget():
    rows = (
        quality_row("ours", 30, 0.05),
        quality_row("ours", 5, 0.08),
        quality_row("diffusers", 30, 0.2, peer=True),
    )
    page = render({"training_quality": quality(*rows)})
    assert page.index("### 30 minutes of training") < page.index("### 5 minutes of training")
    line = "| ours | what it shows | 3.4 | 1,234 | 0.050 | 0.025 to 0.100 | 0.90 | 0.80 | 0.5 |"
    assert page.count(line) == 1
    assert "*between* held-out and training patients 0.020" in page.replace("\n", " ")


def test_rows_name_their_machine_if_there_are_two():
    row = quality_row("ours", 30, 0.05)
    other = {**quality_row("peer", 30, 0.2), "environment": {**ENVIRONMENT, "cpu": "another processor"}}
    page = render({"training_quality": quality(row, {**row, "name": "ours, 5 steps"})}).replace("\n", " ")
    assert "Rows:" not in page
    page = render({"training_quality": quality(row, other)}).replace("\n", " ")
    assert "2 cores of a processor with 2 threads" in page
    assert "load of the machine before: 0.1. Rows: peer." in page


def test_realism_is_compared_with_real_tiles():
    row = quality_row("ours", 180, 0.015)
    result = {
        **quality(),
        **row,
        "settings": {"samples": 256, "part": "validation"},
        "generator": {"steps": 9000},
        "train_seconds": 10_800.0,
        "segmenter": {"study": "tnbc", "steps": 600, "real": 0.5, "synthetic": 0.45},
    }
    page = render({"realism": result})
    assert "9,000 steps from scratch, 180 minutes" in page.replace("\n", " ")
    assert "| PQ after training on synthetic pairs alone | 0.90 | 0.450 | 0.500 | at least 0.9 |" in page
    result["segmenter"]["real"] = 0.0
    assert "| PQ after training on synthetic pairs alone | - | 0.450 | 0.000 |" in render({"realism": result})
    assert "PQ" not in render({"realism": {**result, "segmenter": None}})


def test_realism_names_its_size_and_how_it_was_sampled():
    result = {
        **quality(),
        **quality_row("ours", 180, 0.015),
        "settings": {"samples": 256, "part": "validation"},
        "generator": {"steps": 9000},
        "train_seconds": 10_800.0,
    }
    page = render({"realism": result}).replace("\n", " ")
    assert "of the validation patients, sampled with the default settings." in page
    assert f"]({PICTURES / 'realism_grid.png'})" in page
    finer = {
        **result,
        "data": {**result["data"], "tile": 128},
        "settings": {**result["settings"], "sampling": {"steps": 20, "sigma_scale": 1.1}},
        "generator": {"steps": 1500, "start": {"generator": "abc", "patients": []}},
    }
    page = render({"realism": result, "realism_128": finer}).replace("\n", " ")
    assert "### The same at 128 px" in page
    assert "1,500 steps from the prior, " in page
    assert "sampled with `steps` 20, `sigma_scale` 1.1." in page
    assert f"]({PICTURES / 'realism_128_grid.png'})" in page


def seen(accuracy: float, auroc: float) -> dict[str, Any]:
    def metric(value: float) -> dict[str, Any]:
        seeds = [{"value": value + step, "interval": None} for step in (-0.01, 0.01)]
        return {"value": value, "interval": [value - 0.1, value + 0.1], "seeds": seeds}

    return {
        "balanced_accuracy": metric(accuracy),
        "auroc": metric(auroc),
        "confusion": [[[3, 1], [1, 3]]] * 2,
        "tiles": 1500,
        "patients": 90,
    }


def class_row(name: str, guidance: float, accuracy: float) -> dict[str, Any]:
    def likeness(kid: float, of_real: float | None) -> dict[str, Any]:
        reference = {"within": 0.01, "between": 0.02, "n": 54}
        return {
            "tiles": 256,
            "fidelity": {"kid": kid, "kid_interval": [kid / 2, 2 * kid], "real_reference": reference},
            "coverage": {"synthetic": 0.4, "real": 0.5, "of_real": of_real},
        }

    apart = {"value": accuracy - 0.75, "interval": [accuracy - 0.85, accuracy - 0.65]}
    return {
        "name": name,
        "guidance": guidance,
        "generator": {
            "recipe": "unified",
            "student": None,
            "masks": False,
            "start": None,
            "parameters": 2_000_000,
            "steps": 1500,
            "train_seconds": 600.0,
        },
        "sampling": {"sampler": "dpmpp-2m-sde", "steps": 10, "sigma_scale": 1.5},
        "load_before": 0.1,
        "labels": seen(accuracy, 0.9),
        "difference": {"balanced_accuracy": apart, "auroc": apart},
        "likeness": {
            "all": likeness(0.03, 0.85),
            "classes": {"normal": likeness(0.04, 0.9), "atypical": likeness(0.05, None)},
        },
        "environment": ENVIRONMENT,
    }


def test_classes_are_compared_with_those_of_real_tiles():
    result = {
        "data": {"name": "amibr", "tile": 64, "mpp": 0.5, "classes": ["normal", "atypical"]},
        "settings": {"samples": 512, "classifier": {"model": "lite"}, "classifier_seeds": 2},
        "real": {"validation": seen(0.75, 0.8), "train": seen(0.95, 0.99)},
        "rows": [class_row("ours", 1.0, 0.74), class_row("ours", 1.5, 0.8)],
    }
    page = render({"class_condition": result})
    assert page.count("| `ours` | unified | no | none | 2.0 | 1,500 | 10 | dpmpp-2m-sde, 10 steps |") == 1
    real = "| real, validation | - | 0.750 | 0.650 to 0.850 | 0.740, 0.760 | - | - | 0.800 | 0.700 to 0.900 |"
    ours = "| `ours` | 1 | 0.740 | 0.640 to 0.840 | 0.730, 0.750 | -0.010 | -0.110 to 0.090 | 0.900 |"
    assert real in page
    assert ours in page
    assert "| `ours` | 1.5 | 0.800 |" in page
    assert "| `ours` | 1 | 0.030 | 0.015 to 0.060 | 0.85 | 0.040 | 0.90 | 0.050 | - |" in page
    assert "| real, *between* validation and training patients | - | 0.020 | - | - | 0.020 | - |" in page
    assert "cover: 0.500 of all, 0.500 of normal, 0.500 of atypical." in page.replace("\n", " ")
    assert "2 training seeds" in page.replace("\n", " ")
    assert "Classes" not in render({})


def test_a_student_is_compared_with_its_teacher():
    def row(who: str, passes: int, kid: float, seconds: list[float]) -> dict[str, Any]:
        taken = {"seconds": seconds, "load_before": [0.5], "seconds_per_tile": sorted(seconds)[1] / 32}
        return {**quality_row(f"{who}, {passes}", 1, kid), "who": who, "passes": passes, **taken}

    settings = {**quality()["settings"], "batch": 32, "repeats": 3, "dtype": "float32"}
    generator = {"steps": 5000, "train_seconds": 1800.0}
    result = {
        "data": {"name": "TNBC", "tile": 64, "mpp": 0.5},
        "settings": settings,
        "teacher": generator,
        "student": {"steps": 300, "train_seconds": 300.0, "student": {"sigmas": [60.0, 5.0]}},
        "rows": [
            row("teacher", 10, 0.1, [32.0, 16.0, 64.0]),
            row("teacher", 2, 0.2, [6.4, 6.4, 6.4]),
            row("student", 2, 0.105, [6.4, 6.4, 6.4]),
            row("student", 1, 0.3, [3.2, 3.2, 3.2]),
        ],
        "environment": ENVIRONMENT,
    }
    page = render({"student": result})
    text = page.replace("\n", " ")
    assert "5,000 steps, 30 minutes of training; student: 300 steps, 5 minutes of distillation" in text
    assert "noise levels 60 and 5" in text
    assert "Found: 1.05 times its KID in 0.20 of its time." in text
    assert "| teacher, 10 | 0.100 | 0.050 to 0.200 | 0.90 | 0.80 | 1 | 0.5 to 2 | 1.00 | 1.00 |" in page
    assert "| student, 1 | 0.300 | 0.150 to 0.600 | 0.90 | 0.80 | 0.1 | 0.1 to 0.1 | 3.00 | 0.10 |" in page
    result["rows"][0]["fidelity"]["kid"] = -0.001  # KID is unbiased, so it may be
    assert "| student, 1 | 0.300 | 0.150 to 0.600 | 0.90 | 0.80 | 0.1 | 0.1 to 0.1 | - | 0.10 |" in render(
        {"student": result}
    )
    assert "B4" not in render({})


def test_plots_are_those_that_there_is_data_for(tmp_path):
    assert plots(quality({**quality_row("ours", 1, 0.1), "budget": {"steps": 5}})) == {}
    one = quality(quality_row("ours", 30, 0.05), quality_row("diffusers", 30, 0.2, peer=True))
    assert list(plots(one)) == ["kid_by_sampling_time.png"]
    two = quality(*one["rows"], quality_row("ours", 5, 0.08))
    assert [p.line for p in plots(two)["kid_by_training_time.png"][1]] == ["ours", "ours"]
    assert all(path.stat().st_size > 5_000 for path in save_plots(two, tmp_path))
    assert all(f"]({PICTURES / name})" in render({"training_quality": two}) for name in plots(two))


def test_page_and_plots_are_written_together(tmp_path):
    write_json(tmp_path / "results" / "training_quality.json", quality(quality_row("ours", 30, 0.05)))
    main(results=tmp_path / "results", page=tmp_path / "docs" / "benchmarks.md")
    assert (tmp_path / "docs" / PICTURES / "kid_by_sampling_time.png").is_file()
    assert "B2" in (tmp_path / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize(
    ("value", "written"), [(1234.6, "1,230"), (123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123"), (2, "2")]
)
def test_significant_digits(value, written):
    assert significant(value) == written


def test_pieces_of_a_page():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert number(None) == "-"
    assert max(map(len, wrapped("word " * 60).splitlines())) <= 118
    assert wrapped("| a |" * 60) == "| a |" * 60


def test_ablations_by_class_name_what_the_classifier_reaches_on_real_tiles():
    row = {
        **{k: v for k, v in quality_row("default", 5, 0.05).items() if k != "agreement"},
        "question": "",
        "labels": {"balanced_accuracy": {"value": 0.71}},
    }
    settings = {
        "samples": 256,
        "extractor": "lite0",
        "minutes": 5,
        "sampling": {"sampler": "spectral", "steps": 10, "sigma_scale": 1.0},
        "classifier_weights": ["a", "b", "c"],
        "real": {"balanced_accuracy": 0.76},
    }
    page = render(
        {"ablations_amibr": {"data": {"name": "AMi-Br", "tile": 64}, "settings": settings, "rows": [row]}}
    )
    assert "### On AMi-Br, by class" in page
    assert "mean of 3 (real validation tiles: 0.760)" in page.replace("\n", " ")
    assert "| default |  | 3.4 | 1,234 | 0.050 | 0.025 to 0.100 | 0.710 | 0.80 |" in page


def test_initial_weights_are_compared_by_steps_and_by_patients(tmp_path):
    result = transfer(
        ("none", 7, 5, 0.08), ("prior", 7, 5, 0.03), ("none", 7, 20, 0.05), ("prior", 7, 20, 0.02),
        ("none", 1, 5, 0.2), ("prior", 1, 5, 0.1),
    )  # fmt: skip
    shown = transfer_plots(result)
    by_steps = shown["transfer_by_steps.png"][2]
    assert [(p.line, p.x, p.kid, bool(p.label)) for p in by_steps if p.line == "from the prior"] == [
        ("from the prior", 2000, 0.03, False),
        ("from the prior", 8000, 0.02, True),
    ]
    assert {(p.x, p.kid) for p in shown["transfer_by_patients.png"][2]} == {
        (7, 0.08), (7, 0.03), (1, 0.2), (1, 0.1)
    }  # fmt: skip
    page = render({"transfer": result})
    assert "| 1 | 5 | from the prior | 0.001 |" in page
    assert all(f"]({PICTURES / name})" in page for name in shown)
    assert all(path.stat().st_size > 5_000 for path in save_transfer_plots(result, tmp_path))
    assert transfer_plots(transfer(("none", 7, 5, 0.1))) == {}


def test_another_learning_rate_stays_out_of_the_plots():
    result = transfer(("none", 7, 5, 0.08), ("none", 7, 20, 0.05))
    result["rows"].append({**result["rows"][0], "lr": 0.01})
    assert len(transfer_plots(result)["transfer_by_steps.png"][2]) == 2
    assert "| 0.01 |" in render({"transfer": result})
