"""The one training loop that every learner uses."""
