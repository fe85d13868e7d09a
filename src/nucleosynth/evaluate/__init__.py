"""What is measured: classification, its uncertainty, features and fidelity."""
