"""B6: nuclei found in TNBC, which no segmenter here was trained on, and how fast.

    python -m benchmarks.segmentation

reads TNBC below NUCLEOSYNTH_DATA and writes benchmarks/results/segmentation.json.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nucleosynth.data.readers import read_frames
from nucleosynth.data.readers.paired import PairedConfig
from nucleosynth.files import write_json
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.runs import environment
from nucleosynth.segmentation.segmenter import get_segmenter

BACKENDS = ("classical", "embedded", "judge")
MPP = 0.25
TILE, TILES, REPEATS = 256, 64, 5
RESULT = Path(__file__).parent / "results" / "segmentation.json"


def read_tnbc(root: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the 50 images (n, 512, 512, 3), their instances and their patients."""
    config = PairedConfig(
        dataset="tnbc",
        images="tnbc/images",
        masks="tnbc/masks",
        mask_kind="binary",
        mpp=MPP,
        pattern=r"(?P<patient>\d+)_",
    )
    frames = read_frames(config, root=root).frames
    read = [frame.read() for frame in frames]
    images, masks = [image for image, _ in read], [mask for _, mask in read if mask is not None]
    return np.stack(images), np.stack(masks), [frame.patient_id for frame in frames]


def accuracy(images: np.ndarray, masks: np.ndarray, patients: list[str]) -> dict[str, Any]:
    """Scores of each backend with chance levels, over all patients and those never used for a choice."""
    test = np.isin(patients, ["tnbc:02", "tnbc:05", "tnbc:09"])
    scores = {}
    for name in BACKENDS:
        found = get_segmenter(name)(images, MPP)
        scores[name] = {
            "weights_hash": get_segmenter(name).weights_hash,
            "all": mask_agreement(found, masks, groups=patients),
            "test_patients": mask_agreement(found[test], masks[test], groups=np.array(patients)[test]),
        }
    return scores


def speed(images: np.ndarray) -> dict[str, Any]:
    """Tiles of 256 px at 0.25 µm/px per second, the contenders in turn, post-processing included."""
    quarters = images.reshape(-1, 2, TILE, 2, TILE, 3).swapaxes(2, 3).reshape(-1, TILE, TILE, 3)
    tiles = np.ascontiguousarray(quarters[:: len(quarters) // TILES][:TILES])
    seconds: dict[str, list[float]] = {name: [] for name in BACKENDS}
    for repeat in range(REPEATS + 1):
        for name in BACKENDS:
            started = time.perf_counter()
            get_segmenter(name)(tiles, MPP)
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - started)
    return {
        name: {"tiles_per_second": len(tiles) / statistics.median(times), "seconds": times}
        for name, times in seconds.items()
    }


def main() -> None:
    """Measure and write the result."""
    images, masks, patients = read_tnbc(Path(os.environ["NUCLEOSYNTH_DATA"]))
    result = {
        "data": {"name": "TNBC", "images": len(images), "patients": len(set(patients)), "mpp": MPP},
        "scores": accuracy(images, masks, patients),
        "speed": {
            "tile": TILE,
            "tiles": TILES,
            "threads": torch.get_num_threads(),
            "load_before": os.getloadavg()[0],
            **speed(images),
        },
        "environment": environment(),
    }
    write_json(RESULT, result)
    for name in BACKENDS:
        every = result["scores"][name]["all"]
        shown = ", ".join(f"{key} {every[key]:.3f}" for key in ("pq", "f1", "aji", "iou"))
        print(f"{name}: {shown}; {result['speed'][name]['tiles_per_second']:.0f} tiles/s")


if __name__ == "__main__":
    main()
