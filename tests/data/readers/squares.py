"""A reader as a contributor writes it, in one module: squares of one grey per patient."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from nucleosynth.data.readers.base import FrameReader, FrameSet
from nucleosynth.data.tiling import Frame, Pixels


class SquaresConfig(FrameReader):
    reader: Literal["squares"] = "squares"
    folder: str = "."
    greys: tuple[int, ...] = Field((60, 90, 120), min_length=1)

    def read(self, root: Path) -> FrameSet:
        return FrameSet([_frame(grey, root / self.folder) for grey in self.greys], classes=("square",))


def _frame(grey: int, folder: Path) -> Frame:
    name = f"squares:{grey}"
    return Frame(
        frame_id=name, patient_id=name, label=0, mpp=0.5, path=folder, read=partial(_pixels, grey)
    )  # fmt: skip


def _pixels(grey: int) -> Pixels:
    return np.full((32, 32, 3), grey, np.uint8), None
