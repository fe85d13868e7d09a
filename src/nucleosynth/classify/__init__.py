"""The image classifier, trained in the same way in every arm."""
