"""The ground: randomness by name of its purpose, configurations that name the right key, safe runs."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nucleosynth.config import Config, load_config, override, parse
from nucleosynth.engine import LocalEngine
from nucleosynth.errors import InputError, WorkError
from nucleosynth.files import append_jsonl, partial, read_json, read_jsonl, write_text
from nucleosynth.runs import open_run
from nucleosynth.seeds import normal, rng, torch_seed


class Inner(Config):
    seeds: int = 1


class Outer(Config):
    name: str
    classifier: Inner = Inner()


def test_noise_of_a_sample_depends_on_its_index_alone():
    together = normal(3, "noise", [5, 6, 7], (2, 4))
    assert np.array_equal(together[2], normal(3, "noise", [7], (2, 4))[0])
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(together[0], normal(4, "noise", [5], (2, 4))[0])
    assert not np.array_equal(together[0], normal(3, "other", [5], (2, 4))[0])


def test_streams_are_standard_normal_and_independent():
    noise = normal(0, "noise", range(200), (100,))
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03
    neighbours = (noise[:-1] * noise[1:]).mean()
    assert abs(neighbours) < 0.03


def test_draws_are_the_same_in_another_process():
    imports = "from nucleosynth.seeds import rng, torch_seed"
    code = f"{imports}; print(rng(1, 'a', 2).integers(1 << 40), torch_seed(1, 'b'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [str(rng(1, "a", 2).integers(1 << 40)), str(torch_seed(1, "b"))]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "a", "clasifier": {}}, ["clasifier", "classifier"]),
        ({"name": "a", "classifier": {"seed": 3}}, ["classifier.seed", "seeds"]),
        ({}, ["name", "missing"]),
        ({"name": "a", "classifier": {"seeds": "many"}}, ["classifier.seeds", "many"]),
    ],
)
def test_a_wrong_key_is_named_in_one_line(data, words):
    with pytest.raises(InputError) as caught:
        parse(Outer, data, source="study.yaml")
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert "\n" not in message
    assert all(word in message for word in words)


def test_overrides_reach_nested_keys_and_leave_the_original(tmp_path):
    original = {"name": "a", "classifier": {"seeds": 1}}
    assert override(original, ["classifier.seeds=3"])["classifier"] == {"seeds": 3}
    assert original["classifier"] == {"seeds": 1}
    path = tmp_path / "study.yaml"
    path.write_text("name: a\n")
    assert load_config(Outer, path, {"classifier.seeds": "5"}).classifier.seeds == 5


def test_yaml_that_is_broken_names_its_line(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("name: a\nclassifier: [1,\n")
    with pytest.raises(InputError, match=r"study\.yaml, line \d+: not valid YAML"):
        load_config(Outer, path)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "report.txt"
    write_text(target, "first")
    with pytest.raises(RuntimeError), partial(target) as building:
        building.write_text("half")
        raise RuntimeError
    assert target.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["report.txt"]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    target = tmp_path / "tiles"
    write_text(target, "before")
    with pytest.raises(WorkError, match="disk full"), partial(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "before"


def test_records_survive_a_line_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_jsonl(path) == [{"step": 1}]


def test_the_same_settings_continue_and_others_are_refused(tmp_path):
    with open_run(tmp_path / "run", kind="generator", config={"steps": 3, "net": {"width": 8}}) as run:
        assert not run.done
        write_text(run.path / "model", "weights")
        run.finish(["model"])
    with open_run(tmp_path / "run", kind="generator", config={"steps": 3, "net": {"width": 8}}) as run:
        assert run.done
    assert "model" in read_json(tmp_path / "run" / "DONE")["artefacts"]
    with (
        pytest.raises(InputError, match=r"other settings \(net.width: 8 -> 16\)"),
        open_run(tmp_path / "run", kind="generator", config={"steps": 3, "net": {"width": 16}}),
    ):
        pass


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a run"), open_run(tmp_path, kind="study", config={}):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_process_is_refused_and_a_killed_one_forgotten(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from nucleosynth.runs import open_run\n"
        f"with open_run(Path({str(tmp_path / 'run')!r}), kind='study', config={{}}):\n"
        "    print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with (
        pytest.raises(InputError, match=f"in use by process {process.pid}"),
        open_run(tmp_path / "run", kind="study", config={}),
    ):
        pass
    process.kill()
    process.wait()
    with open_run(tmp_path / "run", kind="study", config={}) as run:
        holder = json.loads((run.path / "lock").read_text())
    assert holder["pid"] != process.pid


def test_an_engine_gives_errors_as_results():
    def invert(job):
        return 1 / job["x"]

    found = list(LocalEngine().map(invert, [{"x": 2}, {"x": 0}, {"x": 4}]))
    assert [result for _, result in found][::2] == [0.5, 0.25]
    assert isinstance(found[1][1], ZeroDivisionError)


def test_bad_json_names_the_file(tmp_path):
    path = Path(tmp_path / "split.json")
    path.write_text("{")
    with pytest.raises(InputError, match=r"split\.json: not valid JSON"):
        read_json(path)
