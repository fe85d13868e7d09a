"""Configuration: frozen models, YAML files, dotted overrides, and errors that name the right key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nucleosynth.errors import InputError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelClass
else:
    _ModelClass = type(BaseModel)  # pydantic names it in private only


C = TypeVar("C", bound=BaseModel)


class _OneLineErrors(_ModelClass):
    """Lets a section that is built by keywords, as in a notebook, refuse wrong ones in one line."""

    def __call__(self: type[C], *args: Any, **kwargs: Any) -> C:  # type: ignore[misc]  # self is a model
        try:
            made: C = type.__call__(self, *args, **kwargs)
        except ValidationError as error:
            raise InputError(f"{self.__name__}: {_explain(error, self)}") from None
        return made


class Config(BaseModel, metaclass=_OneLineErrors):
    """Base of every configuration section: frozen, typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


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
    if re.match(r"\{\w+\}", value):  # a name pattern such as {slide}.png, which YAML would take for a mapping
        return value
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
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")  # a misspelt key explains a missing one
    shown, models, below = _walk(model, first["loc"])
    field = ".".join(shown)
    others = len(errors) - 1
    more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
    context = first.get("ctx", {})
    kind = ".".join([*shown, context.get("discriminator", "")[1:-1]])
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key `{field}`; {_nearest(shown[-1], _keys(models), otherwise='keys here')}{more}"
        case "missing":
            return f"`{field}` is missing; add it{more}"
        case "union_tag_not_found":
            tags = ", ".join(tag for m in below for tag in sorted(_tags(m)))
            return f"`{kind}` is missing; known are {tags}{more}"
        case "union_tag_invalid":
            hint = _nearest(
                context["tag"], [tag for m in below for tag in sorted(_tags(m))], otherwise="known are"
            )
            return f"`{kind}`: unknown `{context['tag']}`; {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = " ".join(repr(first["input"]).split())  # an array's text has several lines
    return f"`{field}`: {message} (got {given:.80}){more}" if field else f"{message}{more}"


def _nearest(name: str, options: Sequence[str], *, otherwise: str) -> str:
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if not near:
        return f"{otherwise}: {', '.join(options)}"

    def nearness(key: str) -> float:  # in order and as a bag of letters: `lable` is `label`, not `table`
        letters = difflib.SequenceMatcher(None, sorted(key), sorted(name))
        return difflib.SequenceMatcher(None, key, name).ratio() + letters.ratio()

    best = max(near, key=nearness)
    return f"did you mean `{best}`?"


def _walk(
    model: type[BaseModel], location: Sequence[str | int]
) -> tuple[list[str], list[type[BaseModel]], list[type[BaseModel]]]:
    """Follow an error's location: the path as the user writes it, the models of its last key, those below it.

    Pydantic puts the tag of a union (``table``) into the location; the user never wrote it as a key.
    """
    shown: list[str] = []
    models = [model]
    below: list[type[BaseModel]] = [model]
    for part in location:
        tagged = [m for m in below if part in _tags(m)]
        if tagged and len(below) > 1:
            models = below = tagged
            continue
        models = below
        fields = {field.alias or name: field for m in models for name, field in m.model_fields.items()}
        below = list(_models(fields[str(part)].annotation)) if part in fields else []
        shown.append(str(part))
    return shown, models, below


def _tags(model: type[BaseModel]) -> set[str]:
    """Values of the fields that may stand for one value only: the tags of a union of models."""
    found: set[str] = set()
    for field in model.model_fields.values():
        values = getattr(field.annotation, "__args__", ())
        found.update(value for value in values if len(values) == 1 and isinstance(value, str))
    return found


def _keys(models: Sequence[type[BaseModel]]) -> list[str]:
    """Field names of a section: the candidates for a misspelt key."""
    return sorted({field.alias or name for m in models for name, field in m.model_fields.items()})


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
