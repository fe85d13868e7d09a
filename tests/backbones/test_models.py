"""Backbones: names, where weights come from, and what a wrong request prints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nucleosynth.backbones import LITE0, create_backbone, input_scale, lite0, to_input, weights_hash
from nucleosynth.backbones.weights import by_position, lite0_tensors
from nucleosynth.errors import InputError

SMALL = "resnet10t"


def small(num_classes: int = 2, *, seed: int = 0, weights: str = "none") -> torch.nn.Module:
    torch.manual_seed(seed)
    return create_backbone(SMALL, weights=weights, num_classes=num_classes).eval()


@pytest.mark.slow
def test_shapes_of_logits_and_features() -> None:
    batch = torch.zeros(2, 3, 32, 32)
    assert small(5)(batch).shape == (2, 5)
    assert small(0)(batch).shape == (2, 512)


def test_lite0_knows_a_real_object() -> None:
    from skimage import data, transform

    cat = transform.resize(data.chelsea()[:, 60:360], (224, 224), preserve_range=True, anti_aliasing=True)
    with torch.inference_mode():
        scores = lite0(1000).eval()(to_input(cat[None].astype(np.uint8)))
    assert int(scores.argmax()) in {281, 282, 283, 284, 285}  # ImageNet's domestic cats


def test_lite0_is_the_same_trunk_under_every_head() -> None:
    full, bare = lite0(1000).state_dict(), lite0().state_dict()
    three = create_backbone(LITE0, weights="lite0", num_classes=3).state_dict()
    assert set(full) - set(bare) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(full[name], bare[name]) and torch.equal(three[name], bare[name]) for name in bare)
    assert three["classifier.weight"].shape == (3, 1280)


def test_position_refuses_tensors_of_another_network() -> None:
    module, tensors = small(), lite0_tensors()
    with pytest.raises(InputError, match="296 tensors"):
        by_position(module, tensors, source="lite0 weights")
    swapped = dict(reversed(list(module.state_dict().items())))
    with pytest.raises(InputError, match="stands where"):
        by_position(module, swapped, source="mine")


def test_save_then_load_gives_the_same_output(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = small()
    save_file(first.state_dict(), tmp_path / "m.safetensors")
    again = small(seed=1, weights=str(tmp_path / "m.safetensors"))
    batch = torch.randn(2, 3, 32, 32)
    assert torch.equal(first(batch), again(batch))
    assert weights_hash(first) == weights_hash(again)


def test_a_head_of_another_size_starts_fresh_and_the_trunk_is_kept(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = small(2)
    save_file(first.state_dict(), tmp_path / "m.safetensors")
    other = small(7, seed=1, weights=str(tmp_path / "m.safetensors")).state_dict()
    assert torch.equal(other["conv1.0.weight"], first.state_dict()["conv1.0.weight"])
    assert torch.equal(other["fc.weight"], small(7, seed=1).state_dict()["fc.weight"])


def test_hash_changes_with_one_weight_and_not_with_layout() -> None:
    module = small()
    before = weights_hash(module)
    assert weights_hash(module.to(memory_format=torch.channels_last)) == before
    with torch.no_grad():
        next(module.parameters())[0, 0, 0, 0] += 1e-3
    assert weights_hash(module) != before
    assert len(before) == 16


def test_input_spans_minus_one_to_one() -> None:
    tiles = np.array([0, 255], np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    batch = to_input(tiles, scale=input_scale(create_backbone(LITE0, num_classes=2)))
    assert batch.shape == (2, 3, 4, 4)
    assert batch[0].unique().tolist() == [-1.0]
    assert batch[1].unique().tolist() == [1.0]


def test_input_scale_of_a_model_with_its_own() -> None:
    assert input_scale(create_backbone("resnet18", num_classes=2))[0] == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        ("tf_efficientnetv2_b00", "none", "nearest is tf_efficientnetv2_b0"),
        ("resnet18.nosuchtag", "none", "nearest is resnet18."),
        ("resnet18", "lite0", "belong to tf_efficientnet_lite0, not to resnet18"),
        ("resnet18", "weights.pth", "expected .* a .safetensors file"),
        ("resnet18", "nowhere.safetensors", "no such file"),
        ("hf-hub:owner/something", "none", 'use weights "hub" with it'),
    ],
)
def test_a_wrong_request_says_what_to_do(name: str, weights: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        create_backbone(name, weights=weights, num_classes=2)
    assert "\n" not in str(caught.value)


def test_hub_without_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    for name in ("resnet18", "hf-hub:owner/something"):
        with pytest.raises(InputError, match="hub weights could not be had") as caught:
            create_backbone(name, weights="hub", num_classes=2)
        assert "\n" not in str(caught.value)


def test_a_model_of_the_hub_comes_from_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--owner--something"
    snapshot = stored / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("0" * 40)
    theirs = create_backbone("resnet10t", num_classes=7)
    save_file(theirs.state_dict(), snapshot / "model.safetensors")
    own = {"num_classes": 7, "classifier": "fc", "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2]}
    stored_config = {"architecture": "resnet10t", "num_classes": 7, "pretrained_cfg": own}
    (snapshot / "config.json").write_text(json.dumps(stored_config))
    ours = create_backbone("hf-hub:owner/something", weights="hub", num_classes=2)
    assert torch.equal(ours.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)
    assert ours.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert input_scale(ours)[0] == (0.7, 0.6, 0.7)


def test_damaged_and_foreign_files_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"damaged\.safetensors: not a readable"):
        small(weights=str(damaged))
    foreign = tmp_path / "foreign.safetensors"
    save_file({**small().state_dict(), "conv1.0.weight": torch.zeros(1)}, foreign)
    with pytest.raises(InputError, match=r"conv1\.0\.weight has shape"):
        small(weights=str(foreign))
