"""Segmenters, which find nuclei in tiles, frames and whole TileSets."""
