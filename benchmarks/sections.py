"""One section of docs/benchmarks.md from each result file, and from nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.class_section import section_class_condition
from benchmarks.markdown import (
    PICTURES,
    Result,
    interval,
    machine,
    machines,
    markdown_table,
    number,
    significant,
)
from benchmarks.transfer_section import section_transfer


def section_sampling_speed(result: Result) -> str:
    """B1 and B1b."""
    settings, contenders, near = result["settings"], result["contenders"], result["near_the_limit"]
    ours = contenders.get("ours")

    def row(name: str, found: Result) -> list[str]:
        rates = sorted(found["tiles"] / seconds for seconds in found["seconds"])
        spread = f"{significant(rates[0])} to {significant(rates[-1])}" if len(rates) > 1 else "one run"
        speed = found["tiles_per_second"]
        return [
            name,
            number(found["parameters"] / 1e6, 1),
            f"{found['evaluations']:,}",
            significant(speed),
            spread,
            significant(ours["tiles_per_second"] / speed) if ours else "-",
        ]

    head = ["", "parameters (M)", "evaluations", "tiles/s", "lowest to highest", "ours is faster by"]
    loads = [load for found in contenders.values() for load in found["load_before"]]
    loads += [load for name in ("sampling loop", "one convolution") for load in near[name]["load_before"]]
    loop, limit = near["sampling loop"], near["one convolution"]
    shape = near["convolution"]
    return "\n\n".join(
        [
            "## B1: sampling speed",
            f"{result['data']['name']} masks, {result['data']['tile']} px, {settings['dtype']}, "
            f"{settings['memory_layout']}, {settings['batch']} tiles at a time ({settings['few']} where 250 "
            f"evaluations and more are needed{_dearer(contenders)}). The weights are {settings['weights']}, "
            "which does not change the speed. Contenders run in turn; the table has the median of "
            f"{settings['repeats']} rounds, and a single run for 1000 steps. *matched*: a peer "
            "network of our "
            "size.",
            markdown_table(head, [row(*item) for item in contenders.items()]),
            machine(result["environment"], threads=settings["threads"], loads=loads),
            "## B1b: how near to the limit of the processor",
            f"The sampling loop of *ours* reaches {significant(loop['flop_per_second'] / 1e9)} GFLOP/s, one "
            f"convolution ({shape['kernel']} x {shape['kernel']}, {shape['channels']} channels, "
            f"{shape['side']} px, {shape['batch']} tiles) {significant(limit['flop_per_second'] / 1e9)} "
            f"GFLOP/s: the loop reaches {number(near['ratio'], 2)} of it. Convolutions and matrix "
            "products are counted, a "
            "multiply-add as two operations.",
        ]
    )


def _dearer(contenders: Result) -> str:
    """Say how much slower it is to draw few tiles at a time, by our network in both ways."""
    many, few = contenders.get("ours"), contenders.get("our network, DDPM-1000")
    if not many or not few:
        return ""
    passes = [found["tiles_per_second"] * found["evaluations"] for found in (many, few)]
    return f", which takes {significant(passes[0] / passes[1])} times as long per tile with our network"


def section_training_quality(result: Result) -> str:
    """B2: one table for each budget."""
    settings, data = result["settings"], result["data"]
    budgets: dict[str, list[Result]] = {}
    for row in result["rows"]:
        budgets.setdefault(budget_name(row["budget"]), []).append(row)
    part = f"the {settings['part']} patient{'s' if data['held_out']['patients'] > 1 else ''}"
    blocks = [
        "## B2: quality for the same training time" + (", test patients" * (settings["part"] == "test")),
        f"{data['name']}, {data['tile']} px at {data['mpp']} µm/px, {data['train']['tiles']} tiles of "
        f"{data['train']['patients']} training patients; {settings['samples']} tiles are drawn for masks "
        f"of {part} and stains of training slides. Peers are conditioned on the mask by one more "
        "channel. They "
        "use our tiles, flips and turns, training loop and weight average. At their original size the mask "
        "enters at 1/255, and learning rate and batch are theirs. They draw with DDIM-50. From "
        "*network* on, each row adds one thing to the row before. One training seed. "
        f"Mask judge: {settings['judge']}. KID to the training patients, by {settings['extractor']}.",
    ]
    for budget, rows in budgets.items():
        blocks += [f"### {budget}", _quality_table(rows), _quality_references(rows), machines(rows)]
    return "\n\n".join(blocks)


def budget_name(budget: Mapping[str, float]) -> str:
    """Write a budget for people."""
    return " ".join(f"{value:g} {unit}" for unit, value in budget.items()) + " of training"


def _quality_table(rows: Sequence[Result]) -> str:
    head = ["", "what it shows", "parameters (M)", "steps", "KID", "95 %", "agreement", "coverage", "tiles/s"]
    return markdown_table(
        head,
        [
            [
                row["name"],
                row["shows"],
                number(row["parameters"] / 1e6, 1),
                f"{row['steps']:,}",
                number(row["fidelity"]["kid"]),
                interval(row["fidelity"]["kid_interval"]),
                number(row["agreement"]["corrected"], 2),
                number(row["coverage"]["of_real"], 2),
                significant(row["tiles_per_second"]),
            ]
            for row in rows
        ],
    )


def _quality_references(rows: Sequence[Result]) -> str:
    reference, agreement = rows[0]["fidelity"]["real_reference"], rows[0]["agreement"]
    return (
        f"Real-vs-real reference of KID, {reference['n']} tiles per group: *within* training patients "
        f"{number(reference['within'])}, *between* held-out and training patients "
        f"{number(reference['between'])}. Agreement is corrected by the chance level and by the ceiling, "
        f"an IoU of {number(agreement['ceiling'])} on real tiles (chance level "
        f"{number(agreement['ceiling_chance'])}). Coverage is divided by what real tiles of other training "
        f"patients reach ({number(rows[0]['coverage']['real'])})."
    )


def section_realism(result: Result) -> str:
    """B3."""
    kid, agreement, covered = result["fidelity"], result["agreement"], result["coverage"]
    reference, data = kid["real_reference"], result["data"]
    usual = data["tile"] == 64
    suffix = "" if usual else f"_{data['tile']}"
    rows = [
        [
            "corrected agreement",
            number(agreement["corrected"], 2),
            f"IoU {number(agreement['iou'])}, chance {number(agreement['chance'])}",
            f"IoU {number(agreement['ceiling'])}, chance {number(agreement['ceiling_chance'])}",
            "0.95 to 1.05",
        ],
        [
            "KID to training patients",
            number(kid["kid"]),
            f"95 % {interval(kid['kid_interval'])}",
            f"between {number(reference['between'])}, within {number(reference['within'])}",
            "at most *between*",
        ],
        [
            "coverage",
            number(covered["of_real"], 2),
            number(covered["synthetic"]),
            number(covered["real"]),
            "at least 0.8",
        ],
    ]
    trained, notes = result.get("segmenter"), []
    if trained:
        real, synthetic = trained["real"], trained["synthetic"]
        parts = number(synthetic / real if real else None, 2), number(synthetic), number(real)
        rows.append(["PQ after training on synthetic pairs alone", *parts, "at least 0.9"])
        notes = [
            f"PQ is that of segmenters trained for {trained['steps']} steps, scored on real tiles of "
            "test patients "
            f"in the study `{trained['study']}`, which has another generator."
        ]
    asked = result["settings"].get("sampling", {})
    sampled = "sampled with the default settings"
    if asked:
        sampled = "sampled with " + ", ".join(f"`{key}` {value:g}" for key, value in asked.items())
    began = "the prior" if result["generator"].get("start") else "scratch"
    loads = [result["load_before"]]
    return "\n\n".join(
        [
            "## B3: mask agreement and realism of our best model"
            if usual
            else f"### The same at {data['tile']} px",
            f"{data['name']}, {data['tile']} px at {data['mpp']} µm/px: {result['generator']['steps']:,} "
            f"steps from {began}, {significant(result['train_seconds'] / 60)} minutes; "
            f"{result['settings']['samples']} tiles for masks of the {result['settings']['part']} patients, "
            f"{sampled}.",
            f"![Requested nuclei, and the tiles made for them]({PICTURES}/realism{suffix}_masks.png)",
            f"![Synthetic tiles, in the order drawn]({PICTURES}/realism{suffix}_grid.png)",
            markdown_table(["", "", "synthetic", "real", "aim"], rows),
            *notes,
            machine(result["environment"], threads=result["environment"]["threads"], loads=loads),
        ]
    )


def section_student(result: Result) -> str:
    """B4."""
    data, settings, rows = result["data"], result["settings"], result["rows"]
    teacher, student = result["teacher"], result["student"]
    own = {who: next(row for row in rows if row["who"] == who) for who in ("teacher", "student")}

    def of_teacher(row: Result) -> list[str]:
        kid, whole = row["fidelity"]["kid"], own["teacher"]["fidelity"]["kid"]
        time = row["seconds_per_tile"] / own["teacher"]["seconds_per_tile"]
        return [number(kid / whole if whole > 0 else None, 2), number(time, 2)]

    def cells(row: Result) -> list[str]:
        kid, time = of_teacher(row)
        per_tile = [seconds / settings["batch"] for seconds in row["seconds"]]
        return [
            row["name"],
            number(row["fidelity"]["kid"]),
            interval(row["fidelity"]["kid_interval"]),
            number(row["agreement"]["corrected"], 2),
            number(row["coverage"]["of_real"], 2),
            significant(row["seconds_per_tile"]),
            f"{significant(min(per_tile))} to {significant(max(per_tile))}",
            kid,
            time,
        ]

    head = [
        "",
        "KID",
        "95 %",
        "agreement",
        "coverage",
        "s/tile",
        "lowest to highest",
        "times the teacher's KID",
        "times its time",
    ]
    kid, time = of_teacher(own["student"])
    levels = " and ".join(f"{sigma:g}" for sigma in student["student"]["sigmas"])
    return "\n\n".join(
        [
            "## B4: a student that needs few passes",
            f"{data['name']}, {data['tile']} px at {data['mpp']} µm/px. Teacher: {teacher['steps']:,} steps, "
            f"{significant(teacher['train_seconds'] / 60)} minutes of training; student: "
            f"{student['steps']:,} steps, {significant(student['train_seconds'] / 60)} minutes of "
            f"distillation, noise levels {levels}. {settings['samples']} tiles for masks of the "
            f"{settings['part']} patients, stains of training slides, one seed. Mask judge: "
            f"{settings['judge']}. "
            f"KID to the training patients, by {settings['extractor']}. Times are those of "
            f"{settings['batch']} "
            f"tiles at a time, {settings['dtype']}, in turn, medians of {settings['repeats']} rounds.",
            "Aim: a student within 10 % of its teacher's KID (at most 1.10 times) in 0.20 of its time. "
            f"Found: {kid} times its KID in {time} of its time.",
            markdown_table(head, [cells(row) for row in rows]),
            _quality_references(rows),
            machine(
                result["environment"],
                threads=result["environment"]["threads"],
                loads=[load for row in rows for load in row["load_before"]],
            ),
        ]
    )


def section_segmentation(result: Result) -> str:
    """B6."""
    scores, speed = result["scores"], result["speed"]
    keys = ("pq", "f1", "sq", "aji", "iou")
    rows = [
        [
            f"`{name}`",
            *(number(scores[name]["all"][key]) for key in keys),
            number(scores[name]["test_patients"]["pq"]),
            f"{speed[name]['tiles_per_second']:.0f}",
        ]
        for name in scores
    ]
    chance = scores["embedded"]["all"]["chance"]
    rows.append(["chance level, `embedded`", *(number(chance[key]) for key in keys), "", ""])
    classical, embedded = (scores[name] for name in ("classical", "embedded"))
    ratio = [embedded[p]["pq"] / classical[p]["pq"] for p in ("all", "test_patients")]
    data = result["data"]
    head = ["", "PQ", "F1", "SQ", "AJI", "IoU", "PQ, test patients", f"{speed['tile']} px tiles/s"]
    return "\n\n".join(
        [
            "## B6: finding nuclei without downloads",
            f"{data['name']}, {data['images']} images of {data['patients']} patients at {data['mpp']} µm/px, "
            "on which no network was trained or chosen; the settings of `classical` were chosen on "
            "its training "
            "patients. "
            f"`embedded` reaches {ratio[0]:.2f} times the PQ of `classical`, {ratio[1]:.2f} times on the "
            "test patients (aim: 1.5, and an F1 of 0.75).",
            markdown_table(head, rows),
            machine(result["environment"], threads=speed["threads"], loads=[speed["load_before"]]),
        ]
    )


def section_layouts(result: Result) -> str:
    """Layouts by two models."""
    speed, data = result["speed"], result["data"]
    rows = []
    for name, scores in result["scores"].items():
        kid, copies = scores["kid"], scores["copies"]
        apart = [found["distance_sd"] for found in scores["distances"]["all"].values()]
        rows.append(
            [
                name,
                number(kid["kid"], 4),
                number(statistics.median([value for value in apart if value is not None] or [0.0]), 2),
                number(copies["median"], 2),
                number(copies["max"], 2),
                f"{speed[name]['layouts_per_minute']:.0f}",
            ]
        )
    reference = next(iter(result["scores"].values()))["kid"]["real_reference"]
    head = [
        "",
        "KID of the masks",
        "median distance (sd)",
        "copies, median",
        "copies, highest",
        "layouts/min",
    ]
    return "\n\n".join(
        [
            "## Layouts: new nuclei masks",
            f"{data['name']}, {data['tile']} px. Real-vs-real reference of KID, on masks: *within* "
            f"{number(reference['within'], 4)}, *between* {number(reference['between'], 4)}. Distances are "
            "those of nuclear size, shape and spacing. *copies*: highest overlap (IoU) with any "
            "training mask.",
            markdown_table(head, rows),
            machine(result["environment"], threads=speed["threads"], loads=[speed["load_before"]]),
        ]
    )


def section_dial(result: Result) -> str:
    """Nuclear size requested and found."""
    rows = [
        [name, number(found["value"], 2), interval(found["interval"])]
        for name, found in result["correlations"].items()
    ]
    return "\n\n".join(
        [
            "## The size dial",
            "Size ratios that were requested, compared with those found in the tiles, "
            f"{result['settings']['tiles_per_ratio']} tiles per ratio.",
            markdown_table(["", "value", "95 %"], rows),
        ]
    )


def section_ablations(result: Result) -> str:
    """One thing changed at a time, by masks or by classes."""
    settings, data = result["settings"], result["data"]
    by_class = "labels" in result["rows"][0]
    rows = [
        [
            row["name"],
            row["question"],
            number(row["parameters"] / 1e6, 1),
            f"{row['steps']:,}",
            number(row["fidelity"]["kid"]),
            interval(row["fidelity"]["kid_interval"]),
            number(row["labels"]["balanced_accuracy"]["value"])
            if by_class
            else number(row["agreement"]["corrected"], 2),
            number(row["coverage"]["of_real"], 2),
        ]
        for row in result["rows"]
    ]
    reference = result["rows"][0]["fidelity"]["real_reference"]
    head = [
        "",
        "changes",
        "parameters (M)",
        "steps",
        "KID",
        "95 %",
        "balanced accuracy" if by_class else "corrected agreement",
        "coverage of real",
    ]
    kid = (
        f"KID ({settings['extractor']}) to the training patients; real-vs-real reference: *within* "
        f"{number(reference['within'])}, *between* {number(reference['between'])}."
    )
    sampling = settings["sampling"]
    length = (
        f"as many training steps as fit into {settings['minutes']:g} minutes of one core, "
        f"`{sampling['sampler']}` of {sampling['steps']} steps, `sigma_scale` {sampling['sigma_scale']:g}"
    )
    if by_class:
        title = f"### On {data['name']}, by class"
        text = (
            f"{data['tile']} px: {length}, {settings['samples']} tiles, as many of each class, no guidance. "
            f"{kid} Balanced accuracy: how well the study's classifiers of real tiles recognise the "
            "requested "
            f"class, mean of {len(settings['classifier_weights'])} (real validation tiles: "
            f"{number(settings['real']['balanced_accuracy'])})."
        )
    else:
        title = "## One thing changed at a time"
        text = (
            f"{data['name']}, {data['tile']} px: {length}, {settings['samples']} tiles for masks of the "
            f"{settings['part']} patients. {kid} One training seed each. The rows *seed* repeat the default "
            "and show how large a difference by chance is. *levels* and *modes* are powers of the weights of "
            "the loss (`benchmarks/variants.py`), 0.5 and 0.5 by default."
        )
    return "\n\n".join(
        [
            title,
            text,
            markdown_table(head, rows),
            machines(result["rows"]),
        ]
    )


SECTIONS: dict[str, Callable[[Result], str]] = {
    "sampling_speed": section_sampling_speed,
    "training_quality": section_training_quality,
    "training_quality_test": section_training_quality,
    "transfer": section_transfer,
    "ablations": section_ablations,
    "ablations_amibr": section_ablations,
    "realism": section_realism,
    "realism_128": section_realism,
    "class_condition": section_class_condition,
    "student": section_student,
    "segmentation": section_segmentation,
    "layouts": section_layouts,
    "dial": section_dial,
}
"""By the name of the result file, in the order of the page."""
