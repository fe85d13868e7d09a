"""Segmenters, one module each; registered by name in `nucleosynth.segmentation.segmenter`."""
