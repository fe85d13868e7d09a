"""Read patient, slide, label and scanner out of file names by a pattern with named groups."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from nucleosynth.data.readers.labels import nearest
from nucleosynth.errors import InputError

GROUPS = ("patient", "slide", "label", "scanner")


def check_pattern(pattern: str) -> str:
    """Return a pattern whose named groups are among `GROUPS`, or raise ValueError."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    for name in groups:
        if name not in GROUPS:
            raise ValueError(f"unknown group `{name}`; {nearest(name, GROUPS)}")
    return pattern


NamePattern = Annotated[
    str,
    AfterValidator(check_pattern),
    Field(
        description="regular expression for the start of a file's stem, with groups such as (?P<patient>..)"
    ),
]


def parts_of(path: Path, pattern: str) -> dict[str, str]:
    """Match the stem of a file; return the groups that are not empty.

    Raises
    ------
    InputError
        Where the stem does not match.
    """
    found = re.match(pattern, path.stem)
    if found is None:
        raise InputError(f"{path}: its name does not match the pattern {pattern}; correct one of them")
    return {name: value for name, value in found.groupdict().items() if value}
