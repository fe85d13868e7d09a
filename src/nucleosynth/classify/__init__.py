"""An image classifier, trained alike in every arm."""
