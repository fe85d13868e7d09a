"""Segmenters: what finds nuclei in tiles, frames and whole TileSets."""
