"""Pictures: tile grids, mask outlines, contact sheets, plots and HTML pages."""

from __future__ import annotations
