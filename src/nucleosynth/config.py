"""Configuration: frozen models, YAML files, dotted overrides, and errors that name the right key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from nucleosynth.errors import InputError
from nucleosynth.registry import Registry

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelClass
else:
    _ModelClass = type(BaseModel)  # pydantic names it in private only


C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True)
class ChosenByName:
    """A mark on a field whose model is chosen by name, as that of `data` by its key `reader`.

    The field's type is the base of the models in the registry, as `SerializeAsAny`: what is dumped are the
    fields of the chosen one.

    Attributes
    ----------
    registry
        The models by name.
    key
        The key of the section that holds the name.
    """

    registry: Registry[Any]
    key: str

    def model_of(self, data: object) -> type[BaseModel] | None:
        """Return the model that a section's data choose, None if they choose none."""
        name = data.get(self.key) if isinstance(data, Mapping) else None
        return self.registry.get(name) if isinstance(name, str) and name in self.registry else None

    def build(self, data: object) -> object:
        """Build the chosen model from the data of a section; a model that is built already stays as it is.

        Raises
        ------
        ValidationError
            The name is missing or unknown, or the chosen model refuses the data.
        """
        if not isinstance(data, Mapping):
            return data
        model = self.model_of(data)
        if model is not None:
            return model.model_validate(data)
        kind = "name_unknown" if self.key in data else "name_missing"
        name = data.get(self.key)
        message = self.registry.unknown(name) if self.key in data else f"known are {', '.join(self.registry)}"
        problem = PydanticCustomError(kind, "{message}", {"message": message})
        detail = InitErrorDetails(type=problem, loc=(self.key,), input=name)
        raise ValidationError.from_exception_data(self.registry.kind, [detail])

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.build, handler(source))


def known_in(registry: Registry[Any]) -> AfterValidator:
    """Make a check for a text field: its value is a name of the registry."""

    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(registry.unknown(name))
        return name

    return AfterValidator(check)


class _OneLineErrors(_ModelClass):
    """Lets a section that is built by keywords, as in a notebook, refuse wrong ones in one line."""

    def __call__(self: type[C], *args: Any, **kwargs: Any) -> C:  # type: ignore[misc]  # self is a model
        try:
            made: C = type.__call__(self, *args, **kwargs)
        except ValidationError as error:
            raise InputError(f"{self.__name__}: {_explain(error, self, kwargs)}") from None
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
        raise InputError(f"{source}: {_explain(error, model, data)}") from None


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
        overrides = [f"{key}={value}" for key, value in overrides.items()]
    if isinstance(overrides, str | bytes) or not isinstance(overrides, Sequence):
        raise InputError(f"overrides are {overrides!r:.60}; expected KEY=VALUE texts, or a mapping of them")
    for text in overrides:
        if not isinstance(text, str):
            raise InputError(f"override {text!r:.60}: expected KEY=VALUE, such as classifier.seeds=3")
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"override `{text}`: expected KEY=VALUE, such as classifier.seeds=3")
        yield key, value


def _copy(data: Mapping[str, object]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in data.items()}


def _explain(error: ValidationError, model: type[BaseModel], data: object) -> str:
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")  # a misspelt key explains a missing one
    shown, models = _walk(model, data, first["loc"])
    field = ".".join(shown)
    others = len(errors) - 1
    more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key `{field}`; {_nearest(shown[-1], _keys(models), otherwise='keys here')}{more}"
        case "missing":
            return f"`{field}` is missing; add it{more}"
        case "name_missing":
            return f"`{field}` is missing; {message}{more}"
        case "name_unknown":
            return f"`{field}`: {message}{more}"
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
    model: type[BaseModel], data: object, location: Sequence[str | int]
) -> tuple[list[str], list[type[BaseModel]]]:
    """Follow an error's location: the path as the user writes it, and the models that hold its last key."""
    shown: list[str] = []
    models = below = [model]
    for part in location:
        shown.append(str(part))
        data = _entry(data, part)
        if isinstance(part, int):  # an entry of a list: the models are those of the list
            continue
        models = below
        fields = {field.alias or name: field for m in models for name, field in m.model_fields.items()}
        below = _models_of(fields[part], data) if part in fields else []
    return shown, models


def _entry(data: object, key: str | int) -> object:
    """Return the value at a key or index of plain data, None if there is none."""
    if isinstance(data, Mapping):
        return data.get(key)
    if isinstance(data, list | tuple) and isinstance(key, int) and key < len(data):
        return data[key]
    return None


def _models_of(field: FieldInfo, data: object) -> list[type[BaseModel]]:
    """Return the models of a field; if its data choose one by name, that one."""
    for note in field.metadata:
        chosen = note.model_of(data) if isinstance(note, ChosenByName) else None
        if chosen is not None:
            return [chosen]
    return list(_models(field.annotation))


def _keys(models: Sequence[type[BaseModel]]) -> list[str]:
    """Return the field names of a section: the candidates for a misspelt key."""
    return sorted({field.alias or name for m in models for name, field in m.model_fields.items()})


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
