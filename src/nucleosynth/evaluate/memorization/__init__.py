"""The search for copies of training tiles."""
