"""Small scripted modules that obey the contracts of InstanSeg and HD-Yolo: dark discs, one per quadrant."""

# ruff: noqa: UP006, UP035 - torch.jit.script understands only these

import warnings
from pathlib import Path
from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn


class TinyInstanSeg(nn.Module):
    """Percentile-normalised (1, 3, h, w) to a label map (1, 1, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        dark = (x.mean(1, keepdim=True) < 0.5).float()
        height, width = x.shape[2], x.shape[3]
        rows = (torch.arange(height) >= height // 2).float()[:, None]
        columns = (torch.arange(width) >= width // 2).float()[None]
        return dark * (3 + 2 * (2 * rows + columns))  # 3, 5, 7, 9: gaps are allowed


class TinyDetector(nn.Module):
    """Holds the thresholds, as HD-Yolo's detection header does."""

    def __init__(self) -> None:
        super().__init__()
        self.nms_params: Dict[str, float] = {"conf_thres": 0.5, "iou_thres": 0.5, "max_det": 10.0}

    def forward(self, dark: Tensor) -> Dict[str, Tensor]:
        boxes: List[Tensor] = []
        masks: List[Tensor] = []
        height, width = dark.shape[0], dark.shape[1]
        for row in range(2):
            for column in range(2):
                top, left = row * (height // 2), column * (width // 2)
                part = dark[top : top + height // 2, left : left + width // 2]
                places = torch.nonzero(part)
                if len(places) > 0 and self.nms_params["conf_thres"] < 0.5:
                    y0, x0 = int(places[:, 0].min()), int(places[:, 1].min())
                    y1, x1 = int(places[:, 0].max()) + 1, int(places[:, 1].max()) + 1
                    boxes.append(torch.tensor([left + x0, top + y0, left + x1, top + y1]).float())
                    inside = part[y0:y1, x0:x1].float()[None, None]
                    masks.append(nn.functional.interpolate(inside, size=[28, 28], mode="bilinear")[0])
        if len(boxes) == 0:
            return {
                "boxes": torch.zeros(0, 4),
                "labels": torch.zeros(0),
                "scores": torch.zeros(0),
                "masks": torch.zeros(0, 1, 28, 28),
            }
        count = len(boxes)
        return {
            "boxes": torch.stack(boxes),
            "labels": torch.ones(count),
            "scores": torch.linspace(0.9, 0.5, count),
            "masks": torch.stack(masks),
        }


class TinyHeaders(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.det = TinyDetector()

    def forward(self, dark: Tensor) -> Dict[str, Tensor]:
        return self.det(dark)


class TinyHDYolo(nn.Module):
    """RGB in [0, 1], sides multiples of 64: (features, [{"det": detections}])."""

    def __init__(self) -> None:
        super().__init__()
        self.headers = TinyHeaders()
        self.half()  # as the real file comes: fp16

    def forward(
        self, x: Tensor, compute_masks: bool = False
    ) -> Tuple[Tensor, List[Dict[str, Dict[str, Tensor]]]]:
        assert compute_masks and x.shape[2] % 64 == 0 and x.shape[3] % 64 == 0
        assert float(x.max()) <= 1.0
        grey = x[0].mean(0)
        dark = (grey < 0.55) & (grey > 0)  # 0 is the padding
        return x, [{"det": self.headers(dark)}]


def _write(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():  # torch announces the end of TorchScript
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(module).save(str(path))


def write_instanseg(path: Path) -> None:
    _write(TinyInstanSeg(), path)


def write_hdyolo(path: Path) -> None:
    _write(TinyHDYolo(), path)
