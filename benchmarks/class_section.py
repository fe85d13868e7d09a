"""The section of docs/benchmarks.md on classes, from its result file and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.markdown import PICTURES, Result, interval, machine, markdown_table, number, significant

PICTURE = "classes.png"


def section_class_condition(result: Result) -> str:
    """Whether synthetic tiles show the requested class."""
    data, settings, rows = result["data"], result["settings"], result["rows"]
    train, validation = (result["real"][part] for part in ("train", "validation"))
    loads = [row["load_before"] for row in rows]
    environment = rows[-1]["environment"]
    return "\n\n".join(
        [
            "## Classes: do tiles show the requested class?",
            f"Study `{data['name']}`, {data['tile']} px at {data['mpp']} µm/px. "
            f"`{settings['classifier']['model']}` is trained on the {train['tiles']:,} real tiles "
            f"of {train['patients']} training patients alone ({settings['classifier_seeds']} training "
            "seeds). "
            f"It then labels real tiles and {settings['samples']} synthetic ones, equally many of "
            "each class, "
            "which have the stain (and mask, if any) of training tiles. The threshold is chosen on the "
            f"{validation['tiles']:,} tiles of the {validation['patients']} validation patients, "
            "which favours these. Values are means over seeds. Intervals are over patients (for synthetic "
            "tiles, the patients of their donors); those of differences are over seeds too. Aim: no "
            "lower than "
            "on real validation tiles, at guidance 1 too.",
            f"![Synthetic tiles: {' above '.join(data['classes'])}]({PICTURES / PICTURE})",
            _generator_table(rows),
            _class_labels(result["real"], rows),
            "KID to the training tiles and coverage of them: of all classes together, at the frequencies of "
            "the training tiles, and class by class. Aim: a coverage of 0.8.",
            _class_likeness(data["classes"], rows),
            _class_coverage(data["classes"], rows[0]),
            machine(environment, threads=environment["threads"], loads=loads),
        ]
    )


def _generator_table(rows: Sequence[Result]) -> str:
    """Lay out one line for each generator."""
    found = {row["name"]: row for row in rows}
    lines = []
    for name, row in found.items():
        made, sampling = row["generator"], row["sampling"]
        lines.append(
            [
                f"`{name}`",
                made["recipe"] + (", student" if made["student"] else ""),
                "yes" if made["masks"] else "no",
                "a prior" if made["start"] else "none",
                number(made["parameters"] / 1e6, 1),
                f"{made['steps']:,}",
                significant(made["train_seconds"] / 60),
                f"{sampling['sampler']}, {sampling['steps']} steps",
            ]
        )
    head = [
        "",
        "recipe",
        "reads masks",
        "initial weights",
        "parameters (M)",
        "training steps",
        "minutes",
        "sampler",
    ]
    return markdown_table(head, lines)


def _class_labels(real: Result, rows: Sequence[Result]) -> str:
    def cells(scores: Result, difference: Result | None) -> list[str]:
        accuracy, auroc = scores["balanced_accuracy"], scores["auroc"]
        above = difference["balanced_accuracy"] if difference else {"value": None, "interval": None}
        return [
            number(accuracy["value"]),
            interval(accuracy["interval"]),
            ", ".join(number(seed["value"]) for seed in accuracy["seeds"]),
            number(above["value"]),
            interval(above["interval"]),
            number(auroc["value"]),
            interval(auroc["interval"]),
        ]

    head = ["", "guidance", "balanced accuracy", "95 %", "by seed", "minus real", "95 %", "AUROC", "95 %"]
    lines = [
        ["real, validation", "-", *cells(real["validation"], None)],
        ["real, training (trained on these)", "-", *cells(real["train"], None)],
    ]
    for row in rows:
        name = [f"`{row['name']}`", f"{row['guidance']:g}"]
        lines.append([*name, *cells(row["labels"], row["difference"])])
    return markdown_table(head, lines)


def _class_likeness(classes: Sequence[str], rows: Sequence[Result]) -> str:
    """Lay out KID and coverage, over all classes and of each, with the real-vs-real reference above."""
    names = ["", *(f", {name}" for name in classes)]
    head = ["", "guidance", *(cell for name in names for cell in (f"KID{name}", f"coverage{name}"))]
    head.insert(3, "95 %")
    references = [found["fidelity"]["real_reference"] for found in _parts(classes, rows[0])]
    within, between = (
        [cell for reference in references for cell in (number(reference[name]), covered)]
        for name, covered in (("within", number(1, 2)), ("between", "-"))
    )
    lines = [
        ["real, *within* training patients", "-", within[0], "-", *within[1:]],
        ["real, *between* validation and training patients", "-", between[0], "-", *between[1:]],
    ]
    for row in rows:
        parts = _parts(classes, row)
        cells = [
            cell
            for found in parts
            for cell in (number(found["fidelity"]["kid"]), number(found["coverage"]["of_real"], 2))
        ]
        spread = interval(parts[0]["fidelity"]["kid_interval"])
        lines.append([f"`{row['name']}`", f"{row['guidance']:g}", cells[0], spread, *cells[1:]])
    return markdown_table(head, lines)


def _class_coverage(classes: Sequence[str], row: Result) -> str:
    reached = [number(found["coverage"]["real"]) for found in _parts(classes, row)]
    named = [f"{value} of {name}" for value, name in zip(reached, ("all", *classes), strict=True)]
    return (
        "Coverage is divided by what equally many real tiles of other training patients cover: "
        f"{', '.join(named)}."
    )


def _parts(classes: Sequence[str], row: Result) -> list[Result]:
    """Return the likeness over all classes and that of each."""
    return [row["likeness"]["all"], *(row["likeness"]["classes"][name] for name in classes)]
