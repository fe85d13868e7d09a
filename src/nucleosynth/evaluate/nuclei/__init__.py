"""Nuclei of synthetic tiles against those asked for, and against those of real tiles."""
