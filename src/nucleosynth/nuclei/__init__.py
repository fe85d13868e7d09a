"""Nuclei in label images: instances, agreement, shape, chromatin, morphology; finds none itself."""
