"""Intervals over patients, corrections for many comparisons, and the verdicts that they support."""
