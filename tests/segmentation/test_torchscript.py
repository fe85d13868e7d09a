"""TorchScript files of two contracts, and the messages for other files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.nuclei.drawn import disc_labels, painted
from tests.segmentation.scripted import write_hdyolo, write_instanseg
from torch import Tensor, nn

from nucleosynth.errors import InputError
from nucleosynth.nuclei.agreement import mask_agreement
from nucleosynth.segmentation.backends.torchscript import paste_mask, percentile_normalised
from nucleosynth.segmentation.segmenter import get_segmenter, segment

WRITERS = {"instanseg": write_instanseg, "hdyolo": write_hdyolo}
NATIVE = {"instanseg": 0.5, "hdyolo": 0.25}
FOUR = [(8.0, 8.0), (8.0, 23.0), (24.0, 9.0), (22.0, 24.0)]


@pytest.fixture(params=WRITERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def backend(kind: str, folder: Path) -> str:
    path = folder / f"{kind}.pt"
    if not path.exists():
        WRITERS[kind](path)
    return f"torchscript:{kind}:{path}"


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_nuclei_are_found_at_any_scale(kind, mpp, tmp_path):
    labels = disc_labels(FOUR, radius=3.5, size=round(32 / mpp), mpp=mpp)
    found = segment(painted(labels)[None], mpp, backend=backend(kind, tmp_path))
    scores = mask_agreement(found, labels[None])
    assert found.max() == 4
    assert scores["f1"] == 1.0
    assert scores["iou"] > 0.8


def test_names_and_hashes_tell_files_apart(kind, tmp_path):
    segmenter = get_segmenter(backend(kind, tmp_path))
    assert segmenter.name == f"torchscript:{kind}:{kind}.pt"
    assert len(segmenter.weights_hash) == 16
    other = get_segmenter(backend("hdyolo" if kind == "instanseg" else "instanseg", tmp_path))
    assert other.weights_hash != segmenter.weights_hash


def test_hdyolo_gets_its_thresholds(tmp_path):
    module = get_segmenter(backend("hdyolo", tmp_path))._module
    assert dict(module.headers.det.nms_params) == {"conf_thres": 0.15, "iou_thres": 0.45, "max_det": 1000.0}


def test_another_contract_is_refused(tmp_path):
    given = backend("hdyolo", tmp_path).replace("torchscript:hdyolo", "torchscript:instanseg")
    tile = painted(disc_labels(FOUR, radius=3.5))[None]
    with pytest.raises(InputError, match="does not follow the InstanSeg contract"):
        segment(tile, 0.5, backend=given)
    given = backend("instanseg", tmp_path).replace("torchscript:instanseg", "torchscript:hdyolo")
    with pytest.raises(InputError, match="does not follow the HDYolo contract") as caught:
        get_segmenter(given)
    assert "\n" not in str(caught.value)


class Picture(nn.Module):
    """Image to image: as a denoiser would answer."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Chances(nn.Module):
    """A map of one channel that holds chances, not labels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).clamp(0, 1)


class Grade(nn.Module):
    """A classifier."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=[2, 3])


@pytest.mark.parametrize("module", [Picture(), Chances(), Grade()])
def test_modules_that_give_no_labels_are_refused(module, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(module).save(str(tmp_path / "other.pt"))
    tile = painted(disc_labels(FOUR, radius=3.5))[None]
    with pytest.raises(InputError, match="does not follow the InstanSeg contract") as caught:
        segment(tile, 0.5, backend=f"torchscript:instanseg:{tmp_path / 'other.pt'}")
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    plain = tmp_path / "plain.pt"
    plain.write_bytes(b"not a model")
    state = tmp_path / "state.pt"
    torch.save({"weight": torch.zeros(1)}, state)
    for path in (plain, state):
        with pytest.raises(InputError, match="is not a TorchScript file") as caught:
            get_segmenter(f"torchscript:instanseg:{path}")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        get_segmenter(f"torchscript:instanseg:{tmp_path / 'absent.pt'}")


@pytest.mark.parametrize("request_", ["torchscript:stardist:a.pt", "torchscript:a.pt", "torchscript:hdyolo:"])
def test_a_request_without_contract_or_path_is_refused_with_help(request_):
    with pytest.raises(InputError, match="expected torchscript:instanseg:PATH or torchscript:hdyolo:PATH"):
        get_segmenter(request_)


def test_percentiles_become_zero_and_one():
    pixels = torch.arange(10_001, dtype=torch.float32).reshape(1, 73, 137).expand(3, -1, -1) * torch.tensor(
        [1.0, 2.0, 5.0]
    ).reshape(3, 1, 1)
    scaled = percentile_normalised(pixels)
    assert scaled[:, 0, 10] == pytest.approx(torch.zeros(3), abs=1e-6)
    assert scaled.flatten(1)[:, 9990] == pytest.approx(torch.ones(3), abs=1e-6)
    assert torch.isfinite(percentile_normalised(torch.full((3, 4, 4), 7.0))).all()


def test_masks_are_pasted_into_their_boxes_by_hand():
    labels = np.zeros((10, 10), np.int32)
    half = torch.zeros(28, 28)
    half[:, 14:] = 1
    paste_mask(labels, torch.tensor([2.0, 3.0, 6.0, 5.0]), half, 7)
    assert np.argwhere(labels == 7).tolist() == [[3, 4], [3, 5], [4, 4], [4, 5]]
    paste_mask(labels, torch.tensor([-2.0, -2.0, 2.0, 2.0]), torch.ones(28, 28), 8)  # over the border
    assert (labels[:2, :2] == 8).all()
    paste_mask(labels, torch.tensor([5.0, 5.0, 5.0, 9.0]), torch.ones(28, 28), 9)  # empty box
    assert not (labels == 9).any()
