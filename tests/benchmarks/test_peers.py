"""The peers behind their adapters: their inputs, what they draw, that training continues where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.contenders import PeerTraining
from benchmarks.peers import PEERS, SIZES, build_peer, matched_width
from safetensors.torch import load_file

from nucleosynth.errors import InputError

MISSING = "the peers are not installed; pip install 'nucleosynth[bench]' (continuous integration does not)"
pytest.importorskip("denoising_diffusion_pytorch", reason=MISSING)
pytest.importorskip("diffusers", reason=MISSING)

SIZE = 32
NARROW = {library: widths[0] for library, widths in SIZES.items()}
PATIENTS = ["phantom:p00", "phantom:p01"]


def masks(count: int) -> np.ndarray:
    drawn = np.zeros((count, SIZE, SIZE), np.int32)
    drawn[:, 4:12, 4:12], drawn[:, 20:28, 8:20] = 1, 2
    return drawn


@pytest.mark.parametrize("library", PEERS)
def test_a_peer_draws_tiles_that_follow_from_seed_and_mask(library):
    peer = build_peer(library, SIZE, "[-1, 1]", width=NARROW[library])
    drawn = peer.sample(masks(3), steps=2, seed=1)
    assert drawn.shape == (3, SIZE, SIZE, 3)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, peer.sample(masks(3), steps=2, seed=1))
    assert not np.array_equal(drawn, peer.sample(masks(3), steps=2, seed=2))
    assert not np.array_equal(drawn, peer.sample(0 * masks(3), steps=2, seed=1))
    assert not np.array_equal(drawn, peer.sample(masks(3), steps=2, seed=1, first=32))


@pytest.mark.parametrize("library", PEERS)
def test_masks_enter_at_the_scale_that_is_said(library):
    inside = torch.tensor([[0.0, 1.0]])
    faint = build_peer(library, SIZE, "1/255", width=NARROW[library])
    full = build_peer(library, SIZE, "[-1, 1]", width=NARROW[library])
    assert faint.channel(inside).tolist() == [[0.0, pytest.approx(1 / 255)]]
    assert full.channel(inside).tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize("library", PEERS)
@pytest.mark.parametrize(("steps", "calls"), [(1000, 1000), (50, 50), (3, 3)])
def test_each_step_is_one_evaluation(library, steps, calls, monkeypatch):
    peer = build_peer(library, SIZE, "[-1, 1]", width=NARROW[library])
    seen = []

    def cheap(x, time, *_):
        assert x.shape == (2, 4, SIZE, SIZE)
        assert x[:, 3].unique().tolist() == [-1.0, 1.0]
        seen.append(int(torch.as_tensor(time).flatten()[0]))
        answer = torch.zeros_like(x[:, :3])
        return answer if library == "ddpm-pytorch" else type("Output", (), {"sample": answer})

    monkeypatch.setattr(peer.network, "forward", cheap)
    peer.sample(masks(2), steps=steps)
    assert len(seen) == calls
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("library", PEERS)
def test_the_loss_is_that_of_a_network_that_answers_nothing(library, monkeypatch):
    """Its target has unit power: noise is normal, and v of white pictures mixes it with 1."""
    peer = build_peer(library, SIZE, "[-1, 1]", width=NARROW[library])

    def nothing(x, *_):
        answer = torch.zeros_like(x[:, :3])
        return answer if library == "ddpm-pytorch" else type("Output", (), {"sample": answer})

    monkeypatch.setattr(peer.network, "forward", nothing)
    torch.manual_seed(0)
    loss = peer.loss(torch.full((64, 3, SIZE, SIZE), 255.0), torch.zeros(64, 1, SIZE, SIZE))
    if library == "diffusers":
        assert float(loss) == pytest.approx(1.0, rel=0.02)
    else:  # weighted by SNR / (SNR + 1), the mean over its steps
        assert float(loss) == pytest.approx(float(peer.diffusion.loss_weight.mean()), rel=0.25)


@pytest.mark.parametrize("library", PEERS)
def test_matched_peers_are_about_as_large(library):
    width = matched_width(library, 64, 3_400_000)
    with torch.device("meta"):
        network = PEERS[library](64, "[-1, 1]", width=width).network
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(3_400_000, rel=0.3)


def test_own_sizes_are_those_of_the_peers():
    with torch.device("meta"):
        sizes = {name: peer(64, "1/255").parameters_count for name, peer in PEERS.items()}
    assert {name: round(size / 1e6) for name, size in sizes.items()} == {"ddpm-pytorch": 36, "diffusers": 114}


@pytest.mark.parametrize("library", PEERS)
def test_training_learns_ends_and_is_found_again(library, tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(PeerTraining, "width", lambda self, size: NARROW[library])
    training = PeerTraining(library, library, batch=4, lr=1e-3)
    untrained = training.build(SIZE).peer.network.state_dict()
    out = tmp_path / "run"
    model = training.train(tiles, PATIENTS, {"steps": 2}, out=out, seed=0)
    weights = load_file(out / "model.safetensors")
    assert any(not torch.equal(weights[name], untrained[name]) for name in weights)
    again = training.train(tiles, PATIENTS, {"steps": 2}, out=out, seed=0)
    stain = np.zeros((2, 6), np.float32)
    drawn = [m.sample(masks(2), stain=stain, seed=0, first=0, steps=2) for m in (model, again)]
    assert np.array_equal(*drawn)
    with pytest.raises(InputError, match=r"budget.steps: 2 -> 3"):
        training.train(tiles, PATIENTS, {"steps": 3}, out=out, seed=0)


def test_unknown_peers_and_steps_are_refused():
    with pytest.raises(InputError, match="unknown; known are ddpm-pytorch, diffusers"):
        build_peer("edm", SIZE, "1/255")
    with pytest.raises(InputError, match="1001 steps; expected 1 to 1000"):
        build_peer("diffusers", SIZE, "1/255", width=8).sample(masks(1), steps=1001)
