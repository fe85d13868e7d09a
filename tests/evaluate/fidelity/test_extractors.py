"""The contract of every extractor, and the message if a network or its weights are not available."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from tests.phantoms import phantom_tileset, tiny_study
from tests.registries import keep_as_is

from nucleosynth.backbones import create_backbone, input_scale, to_input, weights_hash
from nucleosynth.cli import main
from nucleosynth.config import parse
from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity import inception, pretrained
from nucleosynth.evaluate.fidelity.extractors import NetworkExtractor, written_as
from nucleosynth.evaluate.fidelity.features import (
    EXTRACTORS,
    Extractor,
    Remembering,
    extractor_forms,
    get_extractor,
    register_extractor,
)
from nucleosynth.study.design.config import StudyConfig

TINY = "test_vit"


def tiles(n: int, size: int = 48, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(n, size, size, 3)).astype(np.uint8)


def saved(folder: Path, name: str = "model.safetensors", *, model: str = TINY, outputs: int = 5) -> Path:
    """Random weights of a small model, as a user has those of a large one."""
    torch.manual_seed(3)
    save_file(create_backbone(model, num_classes=outputs).state_dict(), folder / name)
    return folder / name


def trained(folder: Path, *, side: int | None = 40, **changes: Any) -> Path:
    """A finished run of a classifier, as `train_classifier` leaves it."""
    run = folder / "run"
    run.mkdir()
    saved(run, model="resnet10t", outputs=3)
    settings = {"kind": "classifier", "classifier": {"model": "resnet10t", "input": side}, **changes}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    (run / "DONE").write_text("{}")
    return run


class FakeInception(torch.nn.Module):
    """Takes what torch-fidelity's network takes, and gives what it gives."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features == ["2048"]
        self.last = torch.nn.Linear(12, 2048)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)
        return (self.last(small.flatten(1)),)


@pytest.fixture
def fake_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("torch_fidelity"), ModuleType(inception.MODULE)
    module.FeatureExtractorInceptionV3 = FakeInception  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, inception.MODULE, module)


def inception_file(folder: Path) -> Path:
    torch.manual_seed(4)
    torch.save({f"last.{k}": v for k, v in torch.nn.Linear(12, 2048).state_dict().items()}, folder / "i.pth")
    return folder / "i.pth"


Make = Callable[[Path, pytest.MonkeyPatch], str]


def _small_clip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pretrained, "CLIP", TINY)
    monkeypatch.setattr(pretrained, "CLIP_DIMENSIONS", 5)
    return f"clip:{saved(folder)}"


def _small_dinov2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pretrained, "DINOV2", TINY)
    monkeypatch.setattr(pretrained, "DINOV2_SIZE", 64)
    return f"dinov2:{saved(folder)}"


KINDS: dict[str, tuple[Make, str, int]] = {
    "lite0": (lambda folder, patch: "lite0", "lite0@224", 1280),
    "timm": (lambda folder, patch: f"timm:{TINY}@{saved(folder)}", f"timm:{TINY}@160", 64),
    "dinov2": (_small_dinov2, "dinov2-small@64", 64),
    "clip": (_small_clip, "clip-vit-b16@160", 5),
    "classifier": (lambda folder, patch: f"classifier:{trained(folder)}", "classifier:resnet10t@40", 512),
    "inception": (lambda folder, patch: f"inception:{inception_file(folder)}", "inception@299", 2048),
}


def test_every_registered_extractor_is_held_to_the_contract() -> None:
    assert set(KINDS) == set(EXTRACTORS)
    forms = extractor_forms().split(", ")
    assert [form.partition(":")[0].removesuffix("[") for form in forms] == list(EXTRACTORS)


@pytest.fixture(params=EXTRACTORS)
def kind(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_fidelity: None
) -> tuple[Extractor, str, int]:
    make, name, features = KINDS[request.param]
    return get_extractor(make(tmp_path, monkeypatch)), name, features


def test_contract(kind: tuple[Extractor, str, int]) -> None:
    extractor, name, features = kind
    for one in (extractor, Remembering(extractor)):
        assert isinstance(one, Extractor)
        assert (one.name, len(one.weights_hash)) == (name, 16)
        found = one(tiles(3))
        assert found.shape == (3, features)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert np.ptp(found, axis=0).max() > 0
        assert one(tiles(0)).shape == (0, features)
    with pytest.raises(InputError, match="expected uint8 RGB"):
        extractor(tiles(3)[0])
    with pytest.raises(InputError, match="expected uint8 RGB"):
        extractor(tiles(3).astype(np.float32))


def test_a_tile_does_not_depend_on_its_batch(kind: tuple[Extractor, str, int]) -> None:
    assert kind[0](tiles(5))[3:] == pytest.approx(kind[0](tiles(5)[3:]), abs=1e-4)


@written_as("colour[:GAIN]")
def colour_extractor(argument: str) -> NetworkExtractor:
    """An extractor as a contributor writes it, in one function: the mean colour of a tile."""
    gain = float(argument or 1)

    def forward(images: np.ndarray) -> torch.Tensor:
        return gain * torch.from_numpy(images).float().mean((1, 2))

    return NetworkExtractor("colour", "0" * 16, forward)


@pytest.mark.slow
def test_a_new_extractor_is_one_function_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_as_is(EXTRACTORS, monkeypatch)
    register_extractor("colour", colour_extractor)
    assert get_extractor("colour:2")(tiles(3)) == pytest.approx(2 * get_extractor("colour")(tiles(3)))
    assert "known are lite0" in refusal("coluor")
    assert refusal("coluor").endswith(", colour[:GAIN]")
    made = phantom_tileset(tmp_path / "tiles", tiles=240, patients=12)
    words = ["evaluate", "fidelity", str(made.path), str(made.path), "--extractor=colour"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["extractor"] == "colour"
    study = tiny_study(fidelity={"extractor": "colour"})
    assert parse(StudyConfig, study).fidelity.extractor == "colour"


def test_features_of_a_file_are_those_of_its_network(tmp_path: Path) -> None:
    file = saved(tmp_path)
    network = create_backbone(TINY, weights=file, num_classes=0).eval()
    extractor = get_extractor(f"timm:{TINY}@{file}")
    assert extractor.weights_hash == weights_hash(network)
    own = tiles(2, 160)
    with torch.inference_mode():
        pixels = torch.from_numpy(own).permute(0, 3, 1, 2).float() / 127.5 - 1  # its mean and std are 0.5
        assert extractor(own) == pytest.approx(network(pixels).numpy(), abs=1e-4)


def test_a_classifier_without_input_size_takes_tiles_as_they_are(tmp_path: Path) -> None:
    run = trained(tmp_path, side=None)
    extractor = get_extractor(f"classifier:{run}")
    assert extractor.name == "classifier:resnet10t@tile"
    whole = create_backbone("resnet10t", weights=run / "model.safetensors", num_classes=3).eval()
    with torch.inference_mode():
        head = whole.get_submodule("fc")
        features = torch.from_numpy(extractor(tiles(2)))
        logits = whole(to_input(tiles(2), scale=input_scale(whole)))
        assert head(features).numpy() == pytest.approx(logits.numpy(), abs=1e-4)


def refusal(name: str) -> str:
    with pytest.raises(InputError) as caught:
        get_extractor(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_no_finished_classifier_is_named(tmp_path: Path) -> None:
    run = trained(tmp_path)
    (run / "DONE").unlink()
    assert f"classifier:{run}: holds no DONE" in refusal(f"classifier:{run}")
    assert "holds no config.yaml" in refusal("classifier:")
    (run / "DONE").write_text("{}")
    (run / "config.yaml").write_text("kind: generator\n")
    assert "is a run of another kind" in refusal(f"classifier:{run}")


@pytest.mark.slow
def test_weights_that_cannot_be_had_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    assert "as an extractor: timm:resnet18@FILE.safetensors" in refusal("timm:resnet18")
    assert "hub weights could not be had" in refusal("timm:hf-hub:timm/no-such-model")
    assert refusal("dinov2").endswith("a .safetensors file; as an extractor: dinov2:FILE.safetensors")
    assert refusal("clip").endswith("as an extractor: clip:FILE.safetensors")
    assert "no such file" in refusal("timm:resnet18@nowhere.safetensors")
    assert "names no model" in refusal("timm:")
    assert "names no model" in refusal("timm:hf-hub:")
    assert "timm has no such model" in refusal("timm:resnet18x")
    assert "use its own weights" in refusal(f"timm:resnet18@{saved(tmp_path, model='resnet10t')}")


def test_inception_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert "pip install 'nucleosynth[inception]'" in refusal("inception:any.pth")


@pytest.mark.usefixtures("fake_fidelity")
def test_inception_reads_tensors_and_nothing_else(tmp_path: Path) -> None:
    assert "nowhere.pth: no such file" in refusal(f"inception:{tmp_path}/nowhere.pth")
    torch.save(FakeInception.__mro__, tmp_path / "pickled.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    torch.save({"last.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    (tmp_path / "damaged.pth").write_bytes(b"not tensors")
    for name in ("pickled", "list", "other", "damaged"):
        assert f"{name}.pth: not the weights of this network" in refusal(f"inception:{tmp_path}/{name}.pth")


@pytest.mark.usefixtures("fake_fidelity")
def test_inception_takes_the_cached_weights_or_says_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    asked: list[str] = []

    def unreachable(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(InputError, match=r"could not be downloaded \(OSError\); fetch .* inception:FILE"):
        inception.inception_extractor()
    assert asked == [inception.URL]
    inception_file(tmp_path).rename(tmp_path / "checkpoints" / inception.FILE)
    assert inception.inception_extractor().name == "inception@299"
    assert len(asked) == 1


def test_inception_of_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its real network with random weights: what is passed to it and comes back fits."""
    module = pytest.importorskip(inception.MODULE, reason="install the extra inception: torch-fidelity")
    network = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_, **__: None)
        torch.save(network("fresh", ["2048"]).state_dict(), tmp_path / "random.pth")
    extractor = inception.inception_extractor(str(tmp_path / "random.pth"))
    assert extractor(tiles(2)).shape == (2, 2048)
