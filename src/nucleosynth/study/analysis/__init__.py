"""What the results of a study say: predictions, comparisons, claim, record."""
