"""Configuration: frozen models, YAML files, dotted overrides, and errors that name the right key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nucleosynth.errors import InputError


class Config(BaseModel):
    """Base of every configuration section: frozen, typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


C = TypeVar("C", bound=BaseModel)


def parse(model: type[C], data: Mapping[str, object], *, source: str = "configuration") -> C:
    """Build a model from plain data.

    Raises
    ------
    InputError
        In one line: the source, the field, what was expected; a misspelt key names the nearest right one.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error, model)}") from None


def load_yaml(path: Path) -> dict[str, object]:
    """Read a YAML file whose top level is a mapping."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise InputError(f"{path}{where}: not valid YAML; check the indentation and quotes") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a YAML mapping of sections, such as `name: my-study`")
    return data


def load_config(model: type[C], path: Path, overrides: Mapping[str, str] | Sequence[str] = ()) -> C:
    """Read a YAML file, apply overrides such as ``classifier.seeds=3``, and validate the result."""
    return parse(model, override(load_yaml(path), overrides), source=str(path))


def override(data: Mapping[str, object], overrides: Mapping[str, str] | Sequence[str]) -> dict[str, object]:
    """Return a copy of ``data`` with dotted keys set; values are read as YAML."""
    result: dict[str, Any] = _copy(data)
    for key, value in _pairs(overrides):
        *parents, last = key.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise InputError(f"--{key}: `{parent}` is not a section with keys of its own")
        section[last] = _value(key, value)
    return result


def _value(key: str, value: str) -> object:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--{key}: `{value}` is not a valid YAML value") from None


def _pairs(overrides: Mapping[str, str] | Sequence[str]) -> Iterator[tuple[str, str]]:
    if isinstance(overrides, Mapping):
        yield from overrides.items()
        return
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"override `{text}`: expected KEY=VALUE, such as classifier.seeds=3")
        yield key, value


def _copy(data: Mapping[str, object]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in data.items()}


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    field = ".".join(location) or "the whole"
    others = len(error.errors()) - 1
    more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], sorted(_keys(model)), n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else "remove it"
        return f"unknown key `{field}`; {hint}{more}"
    if first["type"] == "missing":
        return f"`{field}` is missing; add it{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"`{field}`: {message[0].lower()}{message[1:]} (got {first['input']!r:.80}){more}"


def _keys(model: type[BaseModel]) -> set[str]:
    """All field names of a model and the models below it: the candidates for a misspelt key."""
    found: set[str] = set()
    waiting: list[type[BaseModel]] = [model]
    while waiting:
        for name, field in waiting.pop().model_fields.items():
            if name not in found:
                found.add(field.alias or name)
                waiting.extend(_models(field.annotation))
    return found


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
