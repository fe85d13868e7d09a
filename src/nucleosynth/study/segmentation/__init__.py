"""The second judge of a study: segmenters that learn from real and synthetic tiles."""
