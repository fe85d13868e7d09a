"""MITOS-ATYPIA-14: frames of breast cancer slides scanned twice, graded 1-3 for nuclear atypia.

Archives are unpacked anywhere below one folder; doubled folders (``A03/A03/frames``) are normal. ``A`` and
``H`` name the same slide under two scanners: A03 and H03 are one patient, 03.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from nucleosynth.data.images import read_pair
from nucleosynth.data.readers.base import FrameReader, FrameSet
from nucleosynth.data.readers.files import find_files
from nucleosynth.data.readers.labels import nearest
from nucleosynth.data.tile import Rating
from nucleosynth.data.tiling import Frame
from nucleosynth.errors import InputError
from nucleosynth.files import file_hash

DATASET = "mitos-atypia-14"
CLASSES = ("score-1", "score-2", "score-3")
TEST_SLIDES = frozenset({"06", "08", "09", "13", "16"})  # the challenge's own test part
CRITERIA = (
    "nuclei_size",
    "anisonucleosis",
    "nucleoli_size",
    "chromatin_density",
    "membrane_thickness",
    "nuclei_contour",
)

Level = Literal["x20", "x40"]
_FRAME = re.compile(r"(?P<slide>(?P<letter>[A-Za-z])(?P<number>\d{2}))_\d{2}[A-D](?P<part>[a-d]?)")
_SCORE, _CRITERIA = "_cna_score_decision", "_cna_criteria"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scanner:
    """A slide scanner: its name and µm/px per level."""

    name: str
    mpp: Mapping[Level, float]


SCANNERS: Mapping[str, Scanner] = {
    "A": Scanner("Aperio Scanscope XT", {"x20": 0.491, "x40": 0.2455}),
    "H": Scanner("Hamamatsu NanoZoomer 2.0-HT", {"x20": 0.4545, "x40": 0.2273}),
}
_LETTERS = {"aperio": "A", "hamamatsu": "H"}


class MitosAtypiaConfig(FrameReader):
    """Section ``data`` with ``reader: mitos_atypia``."""

    reader: Literal["mitos_atypia"] = "mitos_atypia"
    folder: str = Field(".", description="where the archives are unpacked, below the data root")
    level: Level = Field("x20", description="x20: the graded frames; x40: their four subframes, same grade")
    scanners: tuple[Literal["aperio", "hamamatsu"], ...] = Field(("aperio", "hamamatsu"), min_length=1)

    def read(self, root: Path) -> FrameSet:
        """List the frames, see `read_mitos_atypia`."""
        return read_mitos_atypia(self, root)


def read_mitos_atypia(config: MitosAtypiaConfig, root: Path) -> FrameSet:
    """List the frames of a level with their grade and the three raters' criteria.

    An x20 frame has, per rater and criterion, the mean of its x40 subframes. A frame whose score file is
    empty or absent has no label. The extra column ``part`` is ``training`` or ``test``, as in the challenge.

    Raises
    ------
    InputError
        No frame, unknown scanner, two different files for one frame, a score or criterion that is not 1-3.
    """
    top = root / config.folder
    frames = _frame_files(top, config)
    tables = _unique([path for path in find_files(top, {".csv"}) if path.stem.endswith((_SCORE, _CRITERIA))])
    scores = {stem: read_score(tables[stem + _SCORE]) for stem in _regions(frames) if stem + _SCORE in tables}
    ratings = _ratings(tables, config.level)
    listed = [_frame(path, config.level, scores, ratings) for _, path in sorted(frames.items())]
    unlabelled = sum(frame.label is None for frame in listed)
    if unlabelled:
        log.warning(
            "%d of %d frames are unlabelled: their score file is empty or absent", unlabelled, len(listed)
        )
    return FrameSet(listed, CLASSES, ordinal=True)


def read_score(path: Path) -> int | None:
    """Read a score file, one bare number 1-3, as an index into `CLASSES`; None where it is empty."""
    text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
    if not text:
        return None
    if text not in ("1", "2", "3"):
        raise InputError(f"{path}: holds `{text[:40]}`; expected one score 1, 2 or 3, or an empty file")
    return int(text) - 1


def read_criteria(path: Path) -> list[Rating]:
    """Read a criteria file: rows ``name,r1,r2,r3``; a rater's empty cell is left out."""
    ratings = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            name, *values = [cell.strip() for cell in row] or [""]
            if not name and not any(values):
                continue
            if name not in CRITERIA or len(values) > 3:
                raise InputError(f"{path} row {number}: expected name,r1,r2,r3; {nearest(name, CRITERIA)}")
            for rater, value in enumerate(values, start=1):
                if value:
                    ratings.append(Rating(f"r{rater}", name, _grade(value, f"{path} row {number}")))
    return ratings


def _grade(value: str, where: str) -> float:
    try:
        grade = float(value)
    except ValueError:
        grade = math.nan
    if not math.isfinite(grade):
        raise InputError(f"{where}: `{value}` is not a number; correct it or leave it empty")
    return grade


def _frame_files(top: Path, config: MitosAtypiaConfig) -> dict[str, Path]:
    """Map stems of the level's frames to their files, of the chosen scanners."""
    letters = {_LETTERS[name] for name in config.scanners}
    chosen = []
    for path in find_files(top, {".tif", ".tiff"}):
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            if path.parent.name == config.level and path.parent.parent.name == "frames":
                raise InputError(f"{path}: not named as frames are, A03_00A or A03_00Aa; rename or remove it")
            continue
        if match["letter"] not in SCANNERS:
            raise InputError(
                f"{path}: unknown scanner `{match['letter']}`; frames begin with A (Aperio) or H (Hamamatsu)"
            )
        if bool(match["part"]) == (config.level == "x40") and match["letter"] in letters:
            chosen.append(path)
    if not chosen:
        names = ", ".join(config.scanners)
        raise InputError(f"{top}: no {config.level} frame of {names}; unpack the archives below it")
    return _unique(chosen)


def _unique(paths: list[Path]) -> dict[str, Path]:
    """Map stems to files; of equal copies (an archive unpacked twice) one is kept, others refused."""
    kept: dict[str, Path] = {}
    for path in paths:
        first = kept.setdefault(path.stem, path)
        if first is not path and file_hash(first) != file_hash(path):
            raise InputError(f"{path}: has the name of {first} but other content; remove the wrong one")
    return kept


def _regions(stems: Iterable[str]) -> set[str]:
    """Return the x20 frames that frames of either level belong to."""
    return {stem.rstrip("abcd") for stem in stems}


def _ratings(tables: Mapping[str, Path], level: Level) -> dict[str, tuple[Rating, ...]]:
    """Collect the criteria per frame; at x20 the mean over the subframes that a rater graded."""
    found: dict[str, list[Rating]] = defaultdict(list)
    for stem, path in tables.items():
        if stem.endswith(_CRITERIA):
            subframe = stem.removesuffix(_CRITERIA)
            found[subframe.rstrip("abcd") if level == "x20" else subframe] += read_criteria(path)
    return {stem: tuple(_means(ratings)) for stem, ratings in found.items()}


def _means(ratings: list[Rating]) -> Iterator[Rating]:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rating in ratings:
        values[rating.rater, rating.criterion].append(rating.value)
    for (rater, criterion), several in sorted(values.items()):
        yield Rating(rater, criterion, sum(several) / len(several))


def _frame(
    path: Path,
    level: Level,
    scores: Mapping[str, int | None],
    ratings: Mapping[str, tuple[Rating, ...]],
) -> Frame:
    match = _FRAME.fullmatch(path.stem)
    assert match is not None
    scanner = SCANNERS[match["letter"]]
    return Frame(
        frame_id=f"{DATASET}:{path.stem}",
        patient_id=f"{DATASET}:{match['number']}",
        slide_id=f"{DATASET}:{match['slide']}",
        label=scores.get(path.stem.rstrip("abcd")),
        ratings=ratings.get(path.stem, ()),
        scanner=scanner.name,
        mpp=scanner.mpp[level],
        path=path,
        read=partial(read_pair, path),
        extra={"part": "test" if match["number"] in TEST_SLIDES else "training"},
    )
