"""What a study does: every stage as a job with inputs and outputs."""
