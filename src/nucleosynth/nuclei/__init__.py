"""Measurements of nuclei in label images: instances, agreement, shape, chromatin, morphology."""
