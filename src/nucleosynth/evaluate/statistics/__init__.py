"""Intervals over patients, corrections for many comparisons, and what they allow to be said."""
