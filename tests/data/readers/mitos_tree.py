"""A small, faithful MITOS-ATYPIA-14: the layout, file names, scales and oddities of the real archives.

One region, 00A of slide 03, has its true size under both scanners and at both levels; the others are an
eighth. All regions hold the same smooth tissue under A and H, drawn as a function of µm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

SCANNERS = {
    "A": ("aperio", (1539, 1376), {"x20": 0.491, "x40": 0.2455}),
    "H": ("hamamatsu", (1663, 1485), {"x20": 0.4545, "x40": 0.2273}),
}
# region -> score; None: the file is empty. Slides 03 and 10 are training slides, 06 is a test slide.
SCORES: Mapping[str, int | None] = {
    "03_00A": 2, "03_00B": 3, "03_01C": 1, "10_00A": 2, "10_01C": None, "06_00D": 3,
}  # fmt: skip
TEST_SLIDES = ("06", "08")
CRITERIA = """\
nuclei_size,1,2,3
anisonucleosis,2,2,{last}
nucleoli_size,1,1,1
chromatin_density,2,3,2
membrane_thickness
nuclei_contour,3,,2
"""


@dataclass(frozen=True)
class Region:
    """One graded frame under one scanner."""

    letter: str
    name: str

    @property
    def stem(self) -> str:
        return f"{self.letter}{self.name}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px: the same at both levels, of which x40 shows a quarter of the tissue."""
        width, height = SCANNERS[self.letter][1]
        return (width, height) if self.name == "03_00A" else (width // 8, height // 8)

    def folder(self, root: Path) -> Path:
        part = "testing" if self.name[:2] in TEST_SLIDES else "training"
        slide = self.stem[:3]
        top = root / f"mitos_atypia_2014_{part}_{SCANNERS[self.letter][0]}" / slide
        return top / slide if slide in ("A03", "H06") else top  # doubled folders occur


def tissue(
    size: tuple[int, int], mpp: float, *, origin: tuple[float, float] = (0, 0), seed: int = 0
) -> np.ndarray:
    """Draw smooth tissue as seen at ``mpp`` µm/px from ``origin`` in µm."""
    x = (np.arange(size[0], dtype=np.float32) + 0.5) * mpp + origin[0]
    y = (np.arange(size[1], dtype=np.float32) + 0.5) * mpp + origin[1]
    channels = []
    for wave in np.random.default_rng(seed).uniform(3, 9, (3, 2)):
        channels.append(np.outer(np.cos(y / wave[0]), np.sin(x / wave[1])) * 50 + 130)
    return np.stack(channels, -1).astype(np.uint8)


def subframes(region: Region) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the x40 stems of a region with their origin in µm."""
    width, height = region.size
    mpp = SCANNERS[region.letter][2]["x40"]
    for number, part in enumerate("abcd"):
        yield f"{region.stem}{part}", (number % 2 * width * mpp, number // 2 * height * mpp)


def write_region(root: Path, region: Region, score: int | None, *, seed: int) -> None:
    folder = region.folder(root)
    for level in ("frames/x10", "frames/x20", "frames/x40", "atypia/x20", "atypia/x40", "mitosis"):
        (folder / level).mkdir(parents=True, exist_ok=True)
    scales = SCANNERS[region.letter][2]
    image = tissue(region.size, scales["x20"], seed=seed)
    tifffile.imwrite(folder / f"frames/x20/{region.stem}.tiff", image, photometric="rgb")
    tifffile.imwrite(folder / f"frames/x10/{region.stem[:-1]}.tiff", image[::8, ::8], photometric="rgb")
    for number, (stem, origin) in enumerate(subframes(region)):
        image = tissue(region.size, scales["x40"], origin=origin, seed=seed)
        tifffile.imwrite(folder / f"frames/x40/{stem}.tiff", image, photometric="rgb", compression="lzw")
        text = CRITERIA.format(last=number % 3 + 1)
        (folder / f"atypia/x40/{stem}_cna_criteria.csv").write_text(text)
        (folder / f"mitosis/{stem}_mitosis.csv").write_text("617,1042,0.75\n" if number == 1 else "")
        (folder / f"mitosis/{stem}_not_mitosis.csv").write_text("83,12,0.2\n105,400,0.1\n")
    (folder / f"atypia/x20/{region.stem}_cna_score_decision.csv").write_text(f"{score}\n" if score else "")


def write_tree(
    root: Path, *, scores: Mapping[str, int | None] = SCORES, names: tuple[str, ...] | None = None
) -> Path:
    """Write the archives of these regions, or of some of them, below ``root``; return it."""
    for letter in SCANNERS:
        for seed, (name, score) in enumerate(scores.items()):
            if names is None or name in names:
                write_region(root, Region(letter, name), score, seed=seed)
    (root / "mitos_atypia_2014_training_aperio" / "._A03_00A.tiff").write_bytes(b"\x00\x05\x16\x07 no image")
    return root
