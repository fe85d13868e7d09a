"""Nuclei of synthetic tiles compared with the requested masks and with real tiles."""
