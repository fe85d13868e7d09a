"""Laws of settings: dotted keys set what they name and nothing else, and what is written is read back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nucleosynth.classify.config import ClassifierConfig
from nucleosynth.config import override, parse
from nucleosynth.errors import InputError
from nucleosynth.study.design.config import StudyConfig
from tests.phantoms import tiny_study

KEYS = st.text("abcdefgh_", min_size=1, max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8)
SECTIONS = st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
DATA = st.dictionaries(KEYS, SECTIONS, max_size=4)


def at(data: dict[str, Any], path: list[str]) -> Any:
    for key in path:
        data = data[key]
    return data


@given(DATA, st.lists(KEYS, min_size=1, max_size=3), SCALARS)
def test_an_override_sets_its_key_and_leaves_the_rest_and_the_original(data, path, value):
    before = copy.deepcopy(data)
    written = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)
    try:
        found = override(data, {".".join(path): written})
    except InputError as error:
        assert "is not a section" in str(error)
        assert "\n" not in str(error)
        return
    finally:
        assert data == before
    assert at(found, path) == value
    del at(found, path[:-1])[path[-1]]
    for key in before.keys() - {path[0]}:
        assert found[key] == before[key]


@given(DATA, st.lists(st.tuples(KEYS, st.integers(0, 99)), max_size=4))
def test_pairs_and_a_mapping_say_the_same_and_the_last_one_holds(data, pairs):
    as_text = [f"{key}={value}" for key, value in pairs]
    assert override(data, as_text) == override(data, {key: str(value) for key, value in pairs})


@given(st.text(max_size=12).filter(lambda text: not text.partition("=")[0] or "=" not in text))
def test_what_is_no_pair_is_refused(text):
    with pytest.raises(InputError, match="expected KEY=VALUE"):
        override({}, [text])


@given(st.integers(1, 10**6), st.integers(2, 512), st.floats(1e-6, 1e-1), st.integers(1, 9))
def test_settings_written_as_yaml_are_read_back_the_same(steps, batch, lr, seeds):
    config = ClassifierConfig(steps=steps, batch=batch, lr=lr, seeds=seeds)
    written = yaml.safe_dump(config.model_dump(mode="json"))
    assert parse(ClassifierConfig, yaml.safe_load(written)) == config


@given(st.integers(0, 10**6), st.integers(1, 20), st.sampled_from([[0.5], [0.25, 0.5], []]))
def test_a_study_read_back_is_the_same_study(seed, seeds, doses):
    own = tiny_study()
    changes = {"seed": seed, "classifier": {**own["classifier"], "seeds": seeds}}
    one = parse(StudyConfig, {**own, **changes, "arms": {"controls": ["real"], "doses": doses}})
    again = parse(StudyConfig, yaml.safe_load(yaml.safe_dump(one.model_dump(mode="json", by_alias=True))))
    assert again == one
    assert again.protocol_hash == one.protocol_hash


@given(st.text("abcdefghijklmnop_", min_size=3, max_size=10))
def test_an_unknown_key_is_named_in_one_line(name):
    if name in ClassifierConfig.model_fields:
        return
    with pytest.raises(InputError, match=f"unknown key `{name}`") as caught:
        parse(ClassifierConfig, {name: 1})
    assert "\n" not in str(caught.value)
