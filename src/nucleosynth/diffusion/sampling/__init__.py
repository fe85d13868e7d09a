"""Sampling: samplers, guidance, and the sampling plan."""
