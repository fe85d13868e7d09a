"""The learned segmenters: networks, targets, training and the maps from which nuclei are cut."""
