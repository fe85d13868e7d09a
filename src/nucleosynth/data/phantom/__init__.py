"""Phantom tissue: drawn tiles with exactly known nuclei, for demo and tests."""
