"""The command line: one short function per verb, a module per noun, no logic."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        The words after ``nucleosynth``; those of this process if None.

    Returns
    -------
    int
        0 done; 1 the work failed; 2 the request or its input was wrong; 130 interrupted.
    """
    import sys

    from nucleosynth.cli.app import run

    return run(list(sys.argv[1:] if arguments is None else arguments))
