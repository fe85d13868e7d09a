"""The copies audit: the search for copies of training tiles."""
