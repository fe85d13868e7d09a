"""Segmenters in files of the user: `torchscript:instanseg:PATH` and `torchscript:hdyolo:PATH`.

A TorchScript file holds code as well as weights, and loading it runs that code: use only files from sources
that you trust. Nothing of these models is part of this package.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.data.arrays import checked_images, checked_mpp
from nucleosynth.data.grid import renumber
from nucleosynth.errors import InputError
from nucleosynth.files import file_hash
from nucleosynth.segmentation.scale import check_scale, labels_at, resample_images
from nucleosynth.training.devices import choose_device


class Contract(Protocol):
    """The interface of one family of files: preparation, input and output."""

    mpp: float
    expects: str

    def prepare(self, module: Any) -> None:
        """Set up the module, once; any error means that it has another contract."""

    def labels(self, module: Any, pixels: Tensor) -> NDArray[np.int32]:
        """Label (3, h, w) RGB of 0-255 at `mpp`: (h, w); any error means another contract."""


class InstanSeg:
    """InstanSeg (Goldsborough et al. 2024): 0.5 µm/px, percentiles 0.1-99.9 to [0, 1], output a label map."""

    mpp = 0.5
    expects = "(1, 3, h, w) to label map (1, 1, h, w)"

    def prepare(self, module: Any) -> None:
        """Do nothing."""

    def labels(self, module: Any, pixels: Tensor) -> NDArray[np.int32]:
        """See `Contract.labels`."""
        found = module(percentile_normalised(pixels)[None])
        if not isinstance(found, Tensor) or found.shape != (1, 1, *pixels.shape[-2:]):
            raise TypeError("the output is not a label map")
        if not bool(((found >= 0) & (found == found.round())).all()):
            raise TypeError("the output holds other values than 0, 1, 2")
        return found[0, 0].to(torch.int32).cpu().numpy()


class HDYolo:
    """HD-Yolo (Rong et al. 2023): 0.25 µm/px, RGB in [0, 1], boxes with masks of 28 x 28."""

    mpp = 0.25
    expects = "headers.det with boxes, scores and masks"
    settings: ClassVar = {"conf_thres": 0.15, "iou_thres": 0.45, "max_det": 1000}
    multiple = 64

    def prepare(self, module: Any) -> None:
        """Set the thresholds of its non-maximum suppression."""
        detector = module.headers.det
        stated = dict(detector.nms_params)
        detector.nms_params = {
            **stated,
            **{key: type(stated.get(key, value))(value) for key, value in self.settings.items()},
        }

    def labels(self, module: Any, pixels: Tensor) -> NDArray[np.int32]:
        """Label as `Contract.labels`; where nuclei overlap, the one with the higher score is on top."""
        height, width = pixels.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        top, left = down // 2, right // 2
        wide = F.pad(pixels / 255, (left, right - left, top, down - top))[None]
        found = module(wide, compute_masks=True)[1][0]["det"]
        labels = np.zeros(wide.shape[-2:], np.int32)
        order = torch.argsort(found["scores"].float()).tolist()  # lowest score first
        for number, index in enumerate(order, start=1):
            paste_mask(labels, found["boxes"][index].float(), found["masks"][index].float(), number)
        return labels[top : top + height, left : left + width]


CONTRACTS: dict[str, type[Contract]] = {"instanseg": InstanSeg, "hdyolo": HDYolo}


class TorchScriptSegmenter:
    """A segmenter from a TorchScript file.

    Pictures are resampled to the file's scale and labels resampled back to the nearest pixel. Each picture is
    processed as a whole, so frames must not be larger than the file can process.
    """

    def __init__(self, path: Path, contract: Contract, *, name: str) -> None:
        self.name = name
        self._path = path
        self._contract = contract
        self._device = choose_device()
        self._module = _load(path).to(self._device).float().eval()
        with self._following():
            contract.prepare(self._module)

    @cached_property
    def weights_hash(self) -> str:
        """Short hash of the file."""
        return file_hash(self._path)[:16]

    def __call__(self, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Label nuclei in (n, h, w, 3) uint8 RGB at `mpp` µm/px (0.1 to 2): (n, h, w) int32.

        Raises
        ------
        InputError
            `mpp` is missing or impossible, images have another shape or dtype, or the output of the file does
            not follow its contract.
        """
        scale = checked_mpp(mpp)
        check_scale(scale)
        n, height, width, _ = checked_images(images).shape
        labels = np.zeros((n, height, width), np.int32)
        for image, found in zip(images, labels, strict=True):
            if (image == image[:1, :1]).all():  # a single colour has no nuclei
                continue
            scaled = resample_images(image[None], scale, to=self._contract.mpp)[0]
            pixels = torch.from_numpy(np.array(scaled)).permute(2, 0, 1).float().to(self._device)
            with torch.inference_mode(), self._following():
                made = self._contract.labels(self._module, pixels)
            found[:] = renumber(labels_at(made, (height, width)), np.int32)
        return labels

    def _following(self) -> _Following:
        return _Following(self._path, self._contract)


def torchscript(request: str) -> TorchScriptSegmenter:
    """Load ``CONTRACT:PATH``.

    Raises
    ------
    InputError
        The contract is unknown, or the file is absent, not TorchScript, or of another contract.
    """
    kind, _, path = request.partition(":")
    if kind not in CONTRACTS or not path:
        known = " or ".join(f"torchscript:{name}:PATH" for name in CONTRACTS)
        raise InputError(f"segmenter 'torchscript:{request}': expected {known}")
    return TorchScriptSegmenter(Path(path), CONTRACTS[kind](), name=f"torchscript:{kind}:{Path(path).name}")


def percentile_normalised(pixels: Tensor, *, percentile: float = 0.1) -> Tensor:
    """Scale each channel of (3, h, w) so that its lowest and highest percentile become 0 and 1."""
    flat = pixels.reshape(len(pixels), -1)
    # by sorting: torch.quantile refuses more than 16 M values
    ordered = flat.sort(dim=1).values
    last = ordered.shape[1] - 1
    low, high = (ordered[:, round(last * share)] for share in (percentile / 100, 1 - percentile / 100))
    return (pixels - low[:, None, None]) / (high - low).clamp(min=1e-3)[:, None, None]


def paste_mask(labels: NDArray[np.int32], box: Tensor, mask: Tensor, number: int) -> None:
    """Write ``number`` where a box's mask, resized into the box, is above 0.5; in place.

    Parameters
    ----------
    labels : (h, w) int32
    box : (4,)
        x0, y0, x1, y1 in px.
    mask : (m, m) or (1, m, m)
        Probabilities.
    """
    height, width = labels.shape
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    if x1 <= x0 or y1 <= y0:
        return
    small = mask.reshape(1, 1, *mask.shape[-2:])
    inside = F.interpolate(small, size=(y1 - y0, x1 - x0), mode="bilinear")[0, 0].cpu().numpy() > 0.5
    top, left, bottom, right = max(0, y0), max(0, x0), min(height, y1), min(width, x1)
    if bottom > top and right > left:
        labels[top:bottom, left:right][inside[top - y0 : bottom - y0, left - x0 : right - x0]] = number


class _Following:
    """A context that turns errors of a file with another contract into one line."""

    def __init__(self, path: Path, contract: Contract) -> None:
        self._path, self._contract = path, contract

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        kinds = (torch.jit.Error, RuntimeError, AttributeError, TypeError, LookupError, ValueError)
        if isinstance(error, kinds):
            reason = str(error).strip().split("\n", maxsplit=1)[0][:80]
            name = type(self._contract).__name__
            raise InputError(
                f"{self._path}: does not follow the {name} contract ({self._contract.expects}): {reason}; "
                "choose the contract of this file"
            ) from error


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a TorchScript file")
    try:
        with warnings.catch_warnings():  # torch announces the end of TorchScript; these files are TorchScript
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: is not a TorchScript file; export the model with torch.jit") from error
