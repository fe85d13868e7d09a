"""Phantom tissue: drawn tiles with exact nuclei, for demo and tests."""
