"""The learned segmenters: networks, targets, training and the maps that nuclei are cut from."""
