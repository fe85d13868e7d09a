"""Measurements: classification and its uncertainty, fidelity, nuclei and copies."""
