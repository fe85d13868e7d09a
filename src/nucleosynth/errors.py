"""The errors that a user can cause or meet, each with its exit code and a message of one line."""

from __future__ import annotations


class NucleosynthError(Exception):
    """Base of all errors that are shown as one line instead of a traceback."""

    exit_code = 1


class InputError(NucleosynthError):
    """An error in the request or its input; names the file, row or field, what was expected, what to do."""

    exit_code = 2


class OutOfRangeError(InputError, IndexError):
    """An index past the end; Python's own protocols, such as iteration, take it as IndexError."""


class WorkError(NucleosynthError):
    """A failure of the work itself: disk full, a loss that is not a number, a lost worker."""

    exit_code = 1
