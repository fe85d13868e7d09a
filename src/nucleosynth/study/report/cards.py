"""Cards to share with the synthetic tiles and with the generator, written from the record alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from nucleosynth.files import write_text
from nucleosynth.render.page import render_page
from nucleosynth.study.report.queries import Record

TEMPLATES = Path(__file__).parent / "templates"
LICENCES = {
    "cc0": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by": "cc-by-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0": "cc-by-nc-sa-4.0",
    "mit": "mit",
    "apache-2.0": "apache-2.0",
    "bsd-3-clause": "bsd-3-clause",
}
"""Licence as data sets state it, in lower case with hyphens, to its identifier on Hugging Face."""
TAGS = ["histopathology", "synthetic", "diffusion", "nucleosynth"]


def write_cards(record: Record, out: Path) -> list[Path]:
    """Write ``DATASET_CARD.md`` where there is a pool and ``MODEL_CARD.md`` where there is a generator.

    Parameters
    ----------
    record : mapping
        Plain JSON values, as in ``report.json``; in a copy to be shared, patients have numbers for ids.
    out : Path
        Output directory.

    Returns
    -------
    list of Path
        The files written.
    """
    cards = {
        "DATASET_CARD.md": dataset_card(record) if record.get("synthesis") else None,
        "MODEL_CARD.md": model_card(record) if (record.get("generator") or {}).get("steps") else None,
    }
    written = []
    for name, text in cards.items():
        if text is not None:
            write_text(out / name, text)
            written.append(out / name)
    return written


def dataset_card(record: Record) -> str:
    """Return the card of the synthetic tiles: content, origin, fidelity and limits."""
    tasks = ["image-classification"] if (record.get("data") or {}).get("classes") else []
    front = {**licence(record), "task_categories": tasks, "tags": TAGS}
    return _card("dataset_card.md.j2", record, {key: value for key, value in front.items() if value})


def model_card(record: Record) -> str:
    """Return the card of the generator: training data, scores and limits."""
    front = {**licence(record), "library_name": "nucleosynth", "tags": [*TAGS, "image-generation"]}
    return _card("model_card.md.j2", record, front)


def licence(record: Record) -> dict[str, str]:
    """Return the licence of the source data as front matter; ``unknown`` where none is stated."""
    stated = str((record.get("data") or {}).get("licence") or "").strip()
    known = LICENCES.get(re.sub(r"[\s_]+", "-", stated.lower()))
    if known or not stated:
        return {"license": known or "unknown"}
    return {"license": "other", "license_name": stated}


def _card(template: str, record: Record, front: dict[str, Any]) -> str:
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, default_flow_style=None)
    body = render_page(template, {"r": record, "p": record.get("protocol") or {}}, folder=TEMPLATES)
    return f"---\n{head}---\n\n{body.strip()}\n"
