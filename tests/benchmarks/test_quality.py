"""The conditions of contenders; rows of a result."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.contenders import ROWS, OwnTraining, PeerTraining, with_rate
from benchmarks.quality import TileEvaluator
from benchmarks.training_quality import add_row, chosen, named
from tests.phantoms import TINY_NETWORK

from nucleosynth.data.split import Fold
from nucleosynth.errors import InputError


def test_rows_have_names_and_runs_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)
    trainings = {}
    for row in ROWS:
        assert trainings.setdefault(row.training.key, row.training) == row.training


def test_every_recipe_of_the_ladder_is_one_and_draws():
    mask = np.zeros((2, 16, 16), np.int32)
    mask[:, 4:9, 4:9] = 1
    for row in ROWS:
        if isinstance(row.training, OwnTraining):
            tiny = OwnTraining("tiny", {**row.training.changes, "network": TINY_NETWORK})
            settings = {**row.sampling, "steps": 2}
            stain = np.zeros((2, 6), np.float32)
            drawn = tiny.build(16).sample(mask, stain=stain, seed=0, first=0, **settings)
            assert drawn.shape == (2, 16, 16, 3)


def test_another_rate_is_another_row():
    peer, ours = with_rate(ROWS[0], 3e-4), with_rate(ROWS[-1], 3e-4)
    assert peer.name == "ddpm-pytorch@lr=0.0003"
    assert isinstance(peer.training, PeerTraining)
    assert peer.training.lr == 3e-4
    assert peer.training.key != ROWS[0].training.key
    assert isinstance(ours.training, OwnTraining)
    assert ours.training.config(64, {"steps": 1}).lr == 3e-4


def test_an_unknown_row_is_refused():
    assert [row.name for row in chosen(("ours",), None)] == ["ours"]
    with pytest.raises(InputError, match=r"--only our: no such row; there are 'ddpm-pytorch'"):
        chosen(("our",), None)


def test_rows_replace_their_like_alone(tmp_path):
    path, header = tmp_path / "result.json", {"data": {"name": "TNBC"}, "settings": {"seed": 0}}
    for name, minutes, kid in [("ours", 30, 1), ("diffusers", 30, 2), ("ours", 5, 3), ("ours", 30, 4)]:
        add_row(path, header, {"name": name, "budget": {"minutes": minutes}, "kid": kid})
    found = json.loads(path.read_text())
    assert {key: found[key] for key in header} == header
    assert [(row["name"], row["kid"]) for row in found["rows"]] == [
        ("diffusers", 2),
        ("ours", 3),
        ("ours", 4),
    ]
    with pytest.raises(InputError, match=r"its settings are others \(seed: 0, here 1\)"):
        add_row(path, {**header, "settings": {"seed": 1}}, {"name": "ours", "budget": {"minutes": 30}})
    assert named({"minutes": 0.5}) == "0.5-minutes"


class Copies:
    """A model that draws given tiles, whatever the condition."""

    parameters = 0

    def __init__(self, images):
        self.images, self.calls = images, 0

    def sample(self, masks, *, stain, seed, first, **sampling):
        assert stain.shape == (len(masks), 6)
        self.calls += 1
        return self.images[first : first + len(masks)]


@pytest.mark.slow
def test_real_tiles_reach_what_real_tiles_reach(layout_tiles, tmp_path):
    fold = Fold(
        train=[f"phantom:p{i:02d}" for i in range(4)], validation=["phantom:p05"], test=["phantom:p06"]
    )
    evaluator = TileEvaluator(layout_tiles, fold, "validation", samples=40, seed=0)
    assert evaluator.asked.masks.shape == (40, 64, 64)
    assert set(evaluator.asked.patients) == {"phantom:p05"}
    areas = sorted((evaluator.asked.masks[:35] > 0).sum(axis=(1, 2)).tolist())
    assert areas == sorted(
        (evaluator.held[1] > 0).sum(axis=(1, 2)).tolist()
    )  # each mask once before any twice
    model = Copies(evaluator.real[0])
    made, seconds = evaluator.draw(model, {}, weights="copies", out=tmp_path / "samples")
    assert np.array_equal(made, evaluator.real[0][:40])
    assert model.calls == 2
    again, stored = evaluator.draw(model, {}, weights="copies", out=tmp_path / "samples")
    assert model.calls == 2
    assert np.array_equal(again, made)
    assert stored == seconds
    found = evaluator.scores(made)
    assert found["fidelity"]["kid"] < found["fidelity"]["real_reference"]["between"]
    assert found["coverage"]["of_real"] > 0.5
    assert found["fidelity"]["neighbours"]["coverage"] == found["coverage"]
    assert found["agreement"]["iou"] < found["agreement"]["ceiling"]
