"""What comes with the package, by name: generators, segmenters, extractors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from nucleosynth.render.notebook import box, line, table

OWNER = "nucleosynth"
CLASSICAL = "finds nuclei without learning: haematoxylin and a watershed"
REGISTERED = "registered here"
"""Purpose of a model that does not say its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model that is known by name.

    Attributes
    ----------
    name : str
        As functions take it.
    kind : str
        ``generator``, ``segmenter`` or ``extractor``.
    mpp : float or None
        µm/px that it works at; None: any, or it does not matter.
    size : int or None
        Edge of its tiles, px; None: any.
    purpose : str
        What it is for.
    """

    name: str
    kind: str
    mpp: float | None
    size: int | None
    purpose: str


class ModelList(tuple[ModelEntry, ...]):
    """Models by name; shows itself as a table in a notebook and when printed."""

    __slots__ = ()

    def __str__(self) -> str:
        rows = [[_text(value) for value in astuple(entry)] for entry in self]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        return "\n".join(text.rstrip() for text in lines)

    def _repr_html_(self) -> str:
        names = [field.name for field in fields(ModelEntry)]
        head = ["µm/px" if name == "mpp" else "px" if name == "size" else name for name in names]
        shown = table(([_text(value) for value in astuple(entry)] for entry in self), head=head)
        return box("Models that come with nucleosynth", shown, line("Use one by its name."))


def list_models() -> ModelList:
    """List the models that are known by name: generators and segmenters of the package, and extractors.

    Returns
    -------
    A tuple of `ModelEntry`, each with ``name``, ``kind``, ``mpp`` (µm/px), ``size`` (px) and ``purpose``.
    """
    return ModelList([*_generators(), *_segmenters(), *_extractors()])


def _generators() -> Iterator[ModelEntry]:
    for place in _folders(files("nucleosynth.diffusion") / "shipped", "config.json"):
        card = _card(place / "config.json")
        classes = ", ".join(card["classes"]) or "no classes"
        asked = "nuclei masks and stain" if card["masks"] else "stain"
        purpose = (
            "initial weights for training, tiles for a first look; "
            f"conditioning: {asked}, {classes}; trained on {len(card['patients'])} patients"
        )
        yield ModelEntry(
            name=f"{OWNER}/{place.name}",
            kind="generator",
            mpp=card["mpp"],
            size=card["size"],
            purpose=purpose,
        )


def _segmenters() -> Iterator[ModelEntry]:
    from nucleosynth.segmentation.learned.config import NETWORK_MPP
    from nucleosynth.segmentation.segmenter import segmenter_names

    shipped = files("nucleosynth.segmentation.learned") / "shipped"
    cards = {place.name: _card(place / "card.json") for place in _folders(shipped, "card.json")}
    for name in segmenter_names():
        learned = cards.get(name)
        purpose = (
            "finds nuclei without learning: haematoxylin and a watershed"
            if name == "classical"
            else REGISTERED
        )
        yield ModelEntry(
            name=name,
            kind="segmenter",
            mpp=NETWORK_MPP if learned else None,
            size=None,
            purpose=learned["purpose"] if learned else purpose,
        )


def _extractors() -> Iterator[ModelEntry]:
    from nucleosynth.evaluate.fidelity.features import EXTRACTORS, extractor_names

    for name in extractor_names():
        purpose = getattr(EXTRACTORS.get(name), "purpose", "") or REGISTERED
        yield ModelEntry(name=name, kind="extractor", mpp=None, size=None, purpose=purpose)


def _folders(root: Traversable, card: str) -> Sequence[Traversable]:
    return sorted((one for one in root.iterdir() if (one / card).is_file()), key=lambda one: one.name)


def _card(path: Traversable) -> dict[str, Any]:
    import json

    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def _text(value: object) -> str:
    return "any" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
