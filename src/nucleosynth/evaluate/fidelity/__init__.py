"""Fidelity of synthetic tiles: features, distances, coverage and real-vs-real references."""
