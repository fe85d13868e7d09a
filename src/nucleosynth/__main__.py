"""``python -m nucleosynth`` is the command ``nucleosynth``."""

from __future__ import annotations

import sys

from nucleosynth.cli import main

if __name__ == "__main__":
    sys.exit(main())
