"""The stages of a study, each a job with inputs and outputs."""
