"""Layouts: new instance masks of nuclei, learned from real ones, with atypia as a dial."""
