"""What a caller asks of a generator's training: settings by keyword, or a whole configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nucleosynth.arguments import shown
from nucleosynth.config import parse
from nucleosynth.diffusion.config import GeneratorConfig
from nucleosynth.errors import InputError


def generator_config(config: Any = None, **settings: Any) -> GeneratorConfig:
    """Return the settings of a training, each of which may be given by keyword.

    Parameters
    ----------
    config
        A `GeneratorConfig`, a mapping of its settings, or None.
    settings
        Settings of the section `generator`, such as ``minutes``, ``steps``, ``start``, ``recipe``; None: not
        given. ``start`` may be a path.

    Raises
    ------
    InputError
        An unknown setting or a wrong value, named; settings together with a `GeneratorConfig`.
    """
    given = {name: _plain(value) for name, value in settings.items() if value is not None}
    if isinstance(config, GeneratorConfig):
        if given:
            raise InputError(f"{', '.join(given)}: set in `config` already; give the one or the other")
        return config
    if config is not None and not isinstance(config, Mapping):
        raise InputError(f"config is {shown(config)}; expected a GeneratorConfig or a mapping of settings")
    twice = sorted(set(given) & set(config or {}))
    if twice:
        raise InputError(f"{twice[0]}: given twice; give it in `config` or by its name")
    return parse(GeneratorConfig, {**(config or {}), **given}, source="generator")


def _plain(value: Any) -> Any:
    """Return a path as text and a number of NumPy as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
