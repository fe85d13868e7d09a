"""Pictures: tile grids, mask outlines, contact sheets, plots and the page they are set in."""

from __future__ import annotations
