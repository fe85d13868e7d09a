"""The judge: an image classifier, trained alike in every arm."""
