"""Choice of device, precision and compiler, on a machine that need not have them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nucleosynth.errors import InputError
from nucleosynth.training import devices
from nucleosynth.training.devices import autocast, choose_device, compile_if_asked, inference_precision

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    """Return ``gpu(bf16)``: two GPUs, with or without bfloat16; torch gets its flags back after the test."""

    def pretend(bf16: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)

    flags = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.allow_tf32 for flag in flags]
    yield pretend
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def test_a_gpu_is_used_where_there_is_one(gpu):
    assert choose_device().type in ("cpu", "mps")
    gpu(True)
    assert choose_device() == CUDA
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "--device gpu: unknown; use auto"),
        ("cuda:2", "--device cuda:2: not available"),
        ("meta", "--device meta: not available"),
    ],
)
def test_an_unknown_or_absent_device_is_named(gpu, name, words):
    gpu(True)
    with pytest.raises(InputError, match=words):
        choose_device(name)


def test_on_cuda_convolutions_run_in_tf32_and_products_in_full_precision(gpu):
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = False, True
    choose_device("cpu")
    assert not torch.backends.cudnn.allow_tf32
    gpu(True)
    choose_device("cuda:1")
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_precision_follows_the_hardware(gpu, monkeypatch):
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float16)):
        gpu(bf16)
        assert inference_precision(CUDA) is dtype
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda bf16=bf16: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert inference_precision(CPU) is dtype
    assert inference_precision(torch.device("mps")) is torch.float32


def test_training_takes_bfloat16_or_nothing(gpu, monkeypatch):
    def runs_in(dtype: torch.dtype, *, training: bool) -> torch.dtype:
        monkeypatch.setattr(devices, "inference_precision", lambda _device: dtype)
        with autocast(CPU, training=training):
            return torch.nn.functional.linear(torch.ones(1, 2), torch.ones(1, 2)).dtype

    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert runs_in(dtype, training=False) is dtype
    assert runs_in(torch.bfloat16, training=True) is torch.bfloat16
    assert runs_in(torch.float16, training=True) is torch.float32


def test_nothing_is_compiled_by_default(monkeypatch):
    layer = nn.Linear(2, 2)
    monkeypatch.delenv(devices.COMPILE, raising=False)
    compile_if_asked(layer)
    assert layer._compiled_call_impl is None
    monkeypatch.setenv(devices.COMPILE, "eager")
    names, given = list(layer.state_dict()), torch.ones(1, 2)
    plain = layer(given)
    compile_if_asked(layer)
    assert layer._compiled_call_impl is not None
    assert torch.equal(layer(given), plain)
    assert list(layer.state_dict()) == names


def test_an_unknown_compiler_is_named(monkeypatch):
    monkeypatch.setenv(devices.COMPILE, "fast")
    with pytest.raises(InputError, match="NUCLEOSYNTH_COMPILE=fast: not a backend of torch"):
        compile_if_asked(nn.Linear(2, 2))
