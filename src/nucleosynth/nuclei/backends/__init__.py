"""Segmenters, one module each; registered by name in `nucleosynth.nuclei.segmenter`."""
