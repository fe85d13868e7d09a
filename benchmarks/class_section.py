"""The section of docs/benchmarks.md on classes, from its result file and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.markdown import PICTURES, Result, interval, machine, markdown_table, number, significant

PICTURE = "classes.png"


def section_class_condition(result: Result) -> str:
    """Whether synthetic tiles show the class that was asked for."""
    data, settings, rows = result["data"], result["settings"], result["rows"]
    train, validation = (result["real"][part] for part in ("train", "validation"))
    loads = [row["load_before"] for row in rows]
    environment = rows[-1]["environment"]
    return "\n\n".join(
        [
            "## Classes: do tiles show what was asked for?",
            f"Study `{data['name']}`, {data['tile']} px at {data['mpp']} µm/px. "
            f"`{settings['classifier']['model']}` learns from the {train['tiles']:,} real tiles of "
            f"{train['patients']} training patients alone ({settings['classifier_seeds']} training seeds); "
            f"it labels real tiles and {settings['samples']} synthetic ones, as many of each class, with the "
            "stain (and mask, if any) of training tiles. The threshold is chosen on the "
            f"{validation['tiles']:,} tiles of the {validation['patients']} validation patients, "
            "which favours these. Means over seeds; intervals over patients, of synthetic tiles those of "
            "the donors, of differences over seeds too. Aim: no lower than on real validation tiles, at "
            "guidance 1 too.",
            f"![Synthetic tiles: {' above '.join(data['classes'])}]({PICTURES / PICTURE})",
            _judged_generators(rows),
            _class_labels(result["real"], rows),
            "KID to the training tiles and coverage of them, all classes at the frequencies of the training "
            "tiles, and class by class. Aim: coverage of 0.8.",
            _class_likeness(data["classes"], rows),
            _class_coverage(data["classes"], rows[0]),
            machine(environment, threads=environment["threads"], loads=loads),
        ]
    )


def _judged_generators(rows: Sequence[Result]) -> str:
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
                "a prior" if made["start"] else "nothing",
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
        "starts from",
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

    head = ["", "guidance", "balanced accuracy", "95 %", "by seed", "above real", "95 %", "AUROC", "95 %"]
    lines = [
        ["real, validation", "-", *cells(real["validation"], None)],
        ["real, training (learned from)", "-", *cells(real["train"], None)],
    ]
    for row in rows:
        name = [f"`{row['name']}`", f"{row['guidance']:g}"]
        lines.append([*name, *cells(row["labels"], row["difference"])])
    return markdown_table(head, lines)


def _class_likeness(classes: Sequence[str], rows: Sequence[Result]) -> str:
    """Lay out KID and coverage, over all classes and of each, below those of real tiles."""
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
    shares = [number(found["coverage"]["real"]) for found in _parts(classes, row)]
    named = [f"{share} of {name}" for share, name in zip(shares, ("all", *classes), strict=True)]
    return (
        "Coverage is a share of what equally many real tiles of other training patients cover, "
        f"{', '.join(named)}."
    )


def _parts(classes: Sequence[str], row: Result) -> list[Result]:
    """Return the likeness over all classes and that of each."""
    return [row["likeness"]["all"], *(row["likeness"]["classes"][name] for name in classes)]
