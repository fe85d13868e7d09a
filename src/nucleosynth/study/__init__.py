"""The study: one protocol in, an honest report out."""
